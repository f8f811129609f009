//! `checkpoints migrate`: what an older program has kept as strings in Redis.

use serde_json::{Value, json};

use super::own_redis::OwnRedis;
use super::receiver::Receiver;
use super::{HASTY, flights, report, stands};

#[test]
fn d_1_older_strings_of_both_forms_become_checkpoints_from_which_handlers_go_on() {
    let Some(redis) = OwnRedis::start() else { return };
    let receiver = Receiver::start();
    let (folder, events) = flights(60, "");
    assert_eq!(folder.json(&["status"])["head"], "60:0", "each event is a line of an import");
    let positions: Vec<Value> = (1..=60).map(|commit| Value::from(format!("{commit}:0"))).collect();
    let set = |name: &str, value: &str| assert_eq!(redis.ask(&["SET", name, value]), "OK");
    let at = |nr: usize| positions[nr].as_str().expect("a position").to_owned();
    set("prod:sub:out", &at(39).replace(':', "@"));
    set("prod:sub:colon", "18446744073709551615:7");
    set("prod:sub:opens", "10:30");
    set("prod:sub:bad", "1e3@0");
    set("prod-eu:sub:out", "99@9");
    folder.configure(&format!(
        "{}[[handler]]\nname = \"out\"\n{}",
        HASTY.replace("lease", &format!("url = \"{}\"\nprefix = \"prod:sub:\"\nlease", redis.url())),
        receiver.sink()
    ));

    folder.exits(2, &["checkpoints", "migrate"]).says(&["needs --yes"]);
    let looked = folder.exits(1, &["checkpoints", "migrate", "--dry-run", "--json"]).json();
    let refused = |name: &str, reason: &str| json!({ "name": name, "reason": reason });
    let bad = refused("prod:sub:bad", "`1e3@0` is neither commit@prepare nor commit:prepare");
    let whole = json!({ "moved": 3, "unchanged": 0, "newer": 0, "refused": [bad], "dry_run": true });
    assert_eq!(looked, whole);
    assert_eq!(folder.json(&["checkpoints", "list"]), json!([]), "it only looked");

    // A string of one form is left alone where only the other is asked for: this one is a time of day.
    let args = ["checkpoints", "migrate", "prod:sub:", "--from", "commit@prepare", "--yes"];
    let text = folder.exits(1, &args).text();
    assert!(text.starts_with("1 checkpoint moved, 0 unchanged, 0 newer"), "{text}");
    assert!(text.contains("left out: prod:sub:opens: `10:30` is not commit@prepare"), "{text}");
    redis.ask(&["DEL", "prod:sub:opens"]);
    redis.ask(&["DEL", "prod:sub:bad"]);
    let done = folder.json(&["checkpoints", "migrate", "--yes"]);
    let facts = ["moved", "unchanged", "newer"].map(|key| done[key].as_u64().expect("a count"));
    assert_eq!(facts, [1, 1, 0], "{done}");
    let found = folder.json(&["checkpoints", "list"]);
    let found: Vec<_> =
        found.as_array().into_iter().flatten().map(|row| (&row["key"], &row["position"])).collect();
    let [colon, last, out] = ["colon", "18446744073709551615:7", "out"].map(Value::from);
    assert_eq!(found, [(&colon, &last), (&out, &positions[39])]);
    assert_eq!(redis.ask(&["GET", "prod:sub:colon"]), "18446744073709551615:7", "the strings stay");

    // It is known now, so that it needs no `start_from`, and goes on where the older program stopped.
    let ran = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(report(&ran)["processed"], 20, "{ran}");
    let came: Vec<_> = receiver.came().into_iter().map(|came| came.id).collect();
    assert_eq!(came, super::ids(&events[40..]));
    let row = stands(&folder, "out");
    assert_eq!(row["position"], row["head"]);
    let again = folder.json(&["checkpoints", "migrate", "--yes"]);
    assert_eq!((again["moved"].as_u64(), again["newer"].as_u64()), (Some(0), Some(1)), "never back: {again}");
}

#[test]
fn x_12_where_there_never_were_older_strings_that_is_said() {
    let (folder, _) = flights(1, "[[handler]]\nname = \"out\"\nstdout = true\n");
    let args = ["checkpoints", "migrate", "old:", "--yes"];
    folder.exits(2, &args).says(&["sqlite:", "nothing to migrate from", "checkpoints.url"]);
    folder
        .exits(2, &["checkpoints", "migrate", "--from", "12@3"])
        .says(&["commit@prepare", "commit:prepare"]);
    let Some(redis) = OwnRedis::start() else { return };
    let place = format!("[checkpoints]\nurl = \"{}\"\n", redis.url());
    folder.configure(&place);
    folder.exits(2, &["checkpoints", "migrate", "--yes"]).says(&["name what", "checkpoints migrate PREFIX"]);
    let none = folder.json(&["checkpoints", "migrate", "old:"]);
    assert_eq!(none["moved"], 0, "there is nothing to ask for: {none}");
}
