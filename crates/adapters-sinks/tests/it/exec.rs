//! A program that keeps to the protocol.

use std::time::Duration;

use highwater_core::policy::Class;
use highwater_core::ports::DynHandler;
use highwater_core::{Retry, Verdict};
use highwater_sinks::{ExecSettings, ExecSink, write_line};
use highwater_testkit::fixtures::{event, events, hostile_names, nasty_payloads};

use crate::kit::{class, deliver, failure, nasty_event, retry};
use crate::script::Script;

#[tokio::test]
async fn x_9_every_event_is_handed_over_in_order_and_byte_for_byte_by_one_process() {
    // What the shell's own `read` would bend is not under test: the lines go through `tee`.
    let script =
        Script::new(r#"tee "$DIR/lines" | LC_ALL=C sed -u 's/^{"id":"\([^"]*\)".*/{"id":"\1","ok":true}/'"#);
    let sink = script.sink();
    let mut events: Vec<_> = (1..).zip(hostile_names()).map(|(n, name)| event(n, &name, &name)).collect();
    events.extend((100..).zip(nasty_payloads()).map(|(n, nasty)| nasty_event(n, &nasty)));
    sink.handle_slice(&events).await.unwrap();
    let mut expected = Vec::new();
    for event in &events {
        write_line(&mut expected, event);
    }
    assert!(std::fs::read(script.path("lines")).unwrap() == expected);
    assert_eq!(script.starts(), 1);
    sink.close().await;
}

#[tokio::test]
async fn the_program_says_what_becomes_of_an_event() {
    let script = Script::new(
        r#"
        for answer in '"ok":false,"error":"no idea"' '"ok":false' \
            '"ok":false,"error":"later","verdict":"retry"' \
            '"ok":false,"error":"later","verdict":"retry","retry_after":30' \
            '"ok":false,"error":"bad","verdict":"park"' '"ok":false,"verdict":"skip"' \
            '"ok":false,"error":"broken","verdict":"stop"' '"ok":true'
        do next; say "$answer"; done; next"#,
    );
    let sink = script.sink();
    let event = event(1, "T", "s");
    let (soon, later) = (Some(Retry::After(Duration::ZERO)), Some(Retry::After(Duration::from_secs(30))));
    for (expected, stated, wait, text) in [
        (Class::Unclassified, None, None, "no idea"),
        (Class::Unclassified, None, None, "no reason given"),
        (Class::Transient, Some(Verdict::Retry), soon, "later"),
        (Class::Transient, Some(Verdict::Retry), later, "later"),
        (Class::Permanent, Some(Verdict::Park), None, "bad"),
        (Class::Permanent, Some(Verdict::Skip), None, "no reason given"),
        (Class::Fatal, Some(Verdict::Stop), None, "broken"),
    ] {
        let failed = failure(&sink, &event).await;
        assert_eq!((class(&failed), failed.stated()), (expected, stated), "{failed}");
        assert!(failed.message().contains(text), "{failed}");
        assert!(wait.is_none_or(|wait| retry(&failed) == wait), "{failed}");
    }
    assert_eq!(deliver(&sink, &[event]).await, 1);
    assert_eq!(script.starts(), 1, "an answer ends nothing");
    sink.close().await;
}

#[tokio::test]
async fn a_slice_names_the_event_that_failed_and_the_next_ones_were_not_handed_over() {
    let script = Script::new(
        r#"while next; do echo "$id" >>"$DIR/ids"
        if [ $n = 3 ]; then say '"ok":false,"verdict":"park"'; else say '"ok":true'; fi; done"#,
    );
    let sink = script.sink();
    let events = events(5, "T", "s");
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Permanent, Some(2)));
    assert_eq!(script.read("ids").lines().count(), 3);
    sink.handle_slice(&events[3..]).await.unwrap();
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(script.read("ids").lines().collect::<Vec<_>>(), ids);
    sink.close().await;
}

#[tokio::test]
async fn calls_that_come_together_wait_for_each_other() {
    let script = Script::ok();
    let sink = script.sink();
    let events = events(20, "T", "s");
    let (one, other) = events.split_at(10);
    let (one, other) = tokio::join!(sink.handle_slice(one), sink.handle_slice(other));
    one.unwrap();
    other.unwrap();
    assert_eq!(script.starts(), 1);
    sink.close().await;
}

#[tokio::test]
async fn closed_the_program_may_finish() {
    let script =
        Script::new(r#"while next; do say '"ok":true'; done; echo some last output; echo done >"$DIR/end""#);
    let sink = script.sink();
    let event = event(1, "T", "s");
    deliver(&sink, std::slice::from_ref(&event)).await;
    sink.close().await;
    assert_eq!(script.read("end"), "done\n");
    sink.close().await; // harmless
    deliver(&sink, &[event]).await;
    assert_eq!(script.starts(), 2, "an event starts it again");
    sink.close().await;
}

#[tokio::test]
async fn a_command_has_its_folder_its_variables_and_no_shell() {
    let folder = tempfile::tempdir().unwrap();
    let sink = ExecSink::new(ExecSettings {
        env: vec![("GREETING".into(), "hello $HOME".into())],
        working_dir: Some(folder.path().to_owned()),
        ..ExecSettings::new([
            "sh",
            "-c",
            r#"read -r line; printf '%s|%s' "$GREETING" "$1" >seen; id=${line#???????}
            printf '{"id":"%s","ok":true}\n' "${id%%\"*}"; read -r line"#,
            "sh",
            "$(a) * 'b'",
        ])
    })
    .unwrap();
    deliver(&sink, &[event(1, "T", "s")]).await;
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen, "hello $HOME|$(a) * 'b'");
    sink.close().await;
}
