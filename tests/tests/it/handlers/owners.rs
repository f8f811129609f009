//! Two processes with one config: one owner of a handler, the other stands by and takes over.

use highwater_tests::{LIMIT, poll};
use serde_json::Value;

use super::receiver::Receiver;
use super::{HASTY, flights, stands};
use crate::support::line;

#[test]
fn b_8_one_of_two_processes_hands_events_over_and_the_other_takes_over_when_it_dies() {
    let receiver = Receiver::start();
    let (folder, events) = flights(400, "");
    // A process that gets no time for longer than this loses the handler, which it should not do here.
    let patient = HASTY.replace("300ms", "3s");
    folder.configure(&format!("{patient}[[handler]]\nname = \"out\"\n{}", receiver.sink()));
    let about = |text: &'static str| {
        move |line: &Value| {
            line["group"] == "out" && line["message"].as_str().is_some_and(|said| said.contains(text))
        }
    };
    let mut first = folder.spawn(&["run"]);
    first.logs("it starts", LIMIT, about("handler started"));
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by"));
    poll("all events", LIMIT, || (receiver.taken() == events.len()).then_some(()));
    poll("the last checkpoint", LIMIT, || {
        let row = stands(&folder, "out");
        (row["position"] == row["head"]).then_some(())
    });
    let row = stands(&folder, "out");
    assert_eq!(row["phase"], "live", "{row}");
    let owner = row["owner"].as_str().expect("somebody owns it").to_owned();
    assert!(owner.contains(&first.id().to_string()), "{owner} is the first process");
    assert_eq!(receiver.came().len(), events.len(), "only one of both hands events over");
    assert!(!second.log().iter().any(about("handler started")), "there is one owner");

    first.kill();
    folder.write("more.ndjson", (0..20).map(|n| line("late-1", n, "Late", "{}")).collect::<String>());
    folder.ok(&["import", "more.ndjson"]);
    second.logs("it takes over", LIMIT, about("handler started"));
    poll("the later events", LIMIT, || (receiver.taken() == events.len() + 20).then_some(()));
    let later = stands(&folder, "out");
    assert!(later["epoch"].as_u64() > row["epoch"].as_u64(), "the epoch rises with the owner: {later}");
    second.signal("TERM");
    assert_eq!(second.wait(LIMIT).code, Some(0));
    receiver.assert_in_order();
    assert_eq!(receiver.came().len(), events.len() + 20, "the checkpoint was stored, so nothing came twice");

    // An orderly end gives the handler back: nobody has to wait for a lease.
    let mut third = folder.spawn(&["run"]);
    third.logs("it starts", LIMIT, about("handler started"));
    assert!(!third.log().iter().any(about("standing by")), "{}", third.stderr());
}
