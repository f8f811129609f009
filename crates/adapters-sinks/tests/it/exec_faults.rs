//! A program that breaks the protocol, hangs, ends, or was never there.

use std::future::Future;
use std::io::{self, BufRead as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use highwater_core::ErrorKind;
use highwater_core::policy::Class;
use highwater_core::ports::DynHandler;
use highwater_sinks::{ExecSettings, ExecSink};
use highwater_testkit::fixtures::{event, event_with, events};

use crate::kit::{class, deliver, failure};
use crate::script::Script;

/// The program does `text` at its first start and behaves at the second.
fn once(text: &str) -> Script {
    Script::new(&format!(
        r#"
        if [ "$(wc -l <"$DIR/starts")" -eq 1 ]; then
            {text}
        else
            while next; do say '"ok":true'; done
        fi"#
    ))
}

async fn fails_once(text: &str, expected: Class, said: &[&str]) {
    let script = once(text);
    let sink = script.sink();
    let event = event(1, "T", "s");
    let failed = failure(&sink, &event).await;
    assert_eq!(class(&failed), expected, "{text}: {failed}");
    for said in said {
        assert!(failed.message().contains(said), "{text}: {failed}");
    }
    sink.handle_slice(&[event]).await.expect("started again with the next attempt");
    assert_eq!(script.starts(), 2, "{text}");
    sink.close().await;
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_its_exit_code_and_last_words_are_told() {
    let last_words = ["exit status: 3", r#"last words "no \"config\"""#];
    fails_once(r#"next; echo 'no "config"' >&2; exit 3"#, Class::Unclassified, &last_words).await;
    fails_once("next; exit 0", Class::Unclassified, &["exit status: 0"]).await;
    fails_once("exit 1", Class::Unclassified, &["exit status: 1"]).await;
    fails_once("next; exit 75", Class::Transient, &["exit status: 75"]).await;
    fails_once("next; exit 78", Class::Fatal, &["exit status: 78"]).await;
    fails_once("next; kill -9 $$", Class::Unclassified, &["signal: 9"]).await;
}

#[tokio::test]
async fn a_program_that_closes_a_stream_is_ended() {
    fails_once("exec <&-; exec >&-; cat /dev/zero >/dev/null", Class::Unclassified, &["was killed"]).await;
    fails_once("next; exec >&-; exit 4", Class::Unclassified, &["exit status: 4"]).await;
}

#[tokio::test]
async fn a_program_that_takes_no_more_is_ended_though_its_output_is_open() {
    let script = Script::new("exec <&-; echo closed >&2; exec sleep 1000");
    let sink = script.sink();
    // More than a pipe holds: however slowly the program closes its end, we write until it has.
    let large = event_with(1, "T", "s", format!("\"{}\"", "x".repeat(1 << 20)));
    let failed = failure(&sink, &large).await;
    assert_eq!(class(&failed), Class::Unclassified, "{failed}");
    assert!(failed.message().contains("takes no more events"), "{failed}");
}

#[tokio::test]
async fn output_that_is_no_answer_is_told_and_the_program_started_again() {
    let unclassified = Class::Unclassified;
    fails_once("next; echo Ready.; next", unclassified, &["Ready.", "it is no answer"]).await;
    fails_once(r#"next; printf '\377\000\n'; next"#, unclassified, &["it is no answer"]).await;
    fails_once("next; echo; next", unclassified, &["it is no answer"]).await;
    fails_once(r#"next; say '"ok":true,"error":"but"'; next"#, unclassified, &["reason against it"]).await;
    let other = r#"next; id=00000000-0000-0000-0000-000000000000; say '"ok":true'; next"#;
    fails_once(other, unclassified, &["answers event 00000000-0000-0000-0000-000000000000"]).await;
}

#[tokio::test]
async fn x_11_output_without_end_is_cut() {
    fails_once("next; tr '\\0' x </dev/zero", Class::Unclassified, &["longer than 64 KiB"]).await;
    fails_once("exec cat /dev/zero", Class::Unclassified, &["longer than 64 KiB"]).await;
}

#[tokio::test]
async fn an_answer_too_many_never_acknowledges_the_next_event() {
    let script = once(r#"next; say '"ok":true'; say '"ok":true'; next; exec sleep 1000"#);
    let sink = script.sink();
    let events = events(2, "T", "s");
    let failed = sink.handle_slice(&events).await.unwrap_err();
    assert_eq!((class(&failed), failed.index()), (Class::Unclassified, Some(1)), "{failed}");
    assert!(failed.message().contains("answers event"), "{failed}");
    deliver(&sink, &events[1..]).await;
    sink.close().await;
}

#[tokio::test]
async fn a_program_that_ends_between_two_events_has_done_no_wrong() {
    let script = Script::new(r#"next; say '"ok":true'; echo "$id" >>"$DIR/ids""#);
    let sink = script.sink();
    let events = events(5, "T", "s");
    sink.handle_slice(&events).await.unwrap();
    sink.close().await;
    let ids: Vec<String> = events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(script.read("ids").lines().collect::<Vec<_>>(), ids);
    assert_eq!(script.starts(), 5);
}

/// Time stands still and jumps to the next limit whenever all wait: what hangs times out at once.
#[tokio::test]
async fn a_program_that_hangs_is_killed_and_started_again() {
    let script = Script::new(
        r#"if [ -e "$DIR/healed" ]; then while next; do say '"ok":true'; done; else exec sleep 1000; fi"#,
    );
    let sink = script.sink();
    let event = event(1, "T", "s");
    tokio::time::pause();
    let failed = failure(&sink, &event).await;
    tokio::time::resume();
    assert_eq!(class(&failed), Class::Unclassified, "run alone, it is this event that takes too long");
    assert!(failed.message().contains("no answer in time"), "{failed}");
    std::fs::write(script.path("healed"), "").unwrap();
    assert_eq!(deliver(&sink, &[event]).await, 1);
    sink.close().await;
}

/// Closes or drops a sink whose program and helper ignore every sign.
async fn ends_stubborn(end: impl AsyncFnOnce(ExecSink)) {
    // The helper holds the write end of a pipe: the end of what we read there is its end.
    let script = Script::new(
        r#"mkfifo "$DIR/held"; (exec 3>"$DIR/held"; echo here >&3; exec sleep 1000) & next; say '"ok":true'
        trap '' HUP INT TERM; while :; do sleep 1000; done"#,
    );
    let settings = ExecSettings { grace: Duration::from_millis(10), ..script.settings() };
    let sink = ExecSink::new(settings).unwrap();
    deliver(&sink, &[event(1, "T", "s")]).await;
    let mut held = io::BufReader::new(std::fs::File::open(script.path("held")).unwrap());
    let mut line = String::new();
    held.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    end(sink).await;
    let rest = tokio::task::spawn_blocking(move || held.read_line(&mut String::new()));
    assert_eq!(rest.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_end_by_itself_is_killed_with_all_that_it_started() {
    ends_stubborn(async |sink| sink.close().await).await;
    ends_stubborn(async |sink| drop(sink)).await;
}

#[tokio::test]
async fn dropped_it_may_finish() {
    let script =
        Script::new(r#"mkfifo "$DIR/end"; while next; do say '"ok":true'; done; echo done >"$DIR/end""#);
    let sink = script.sink();
    deliver(&sink, &[event(1, "T", "s")]).await;
    drop(sink);
    let end = script.path("end");
    let said = tokio::task::spawn_blocking(move || std::fs::read_to_string(end)).await.unwrap().unwrap();
    assert_eq!(said, "done\n");
}

#[test]
fn dropped_without_a_runtime_it_is_killed_at_once() {
    let script = Script::new(r#"trap '' HUP INT TERM; next; say '"ok":true'; while :; do sleep 1000; done"#);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sink = script.sink();
    runtime.block_on(deliver(&sink, &[event(1, "T", "s")]));
    let pid = script.read("starts").trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::test_kill_process(pid).expect("it runs");
    drop(runtime);
    drop(sink);
    wait_for_end(pid);
}

/// Killed is not yet gone: a killed child is a zombie until its parent looks, and this test is its parent.
fn wait_for_end(pid: rustix::process::Pid) {
    use rustix::process::{WaitOptions, waitpid};
    match waitpid(Some(pid), WaitOptions::empty()) {
        Ok(Some((_, status))) => assert_eq!(status.terminating_signal(), Some(9)),
        Ok(None) => panic!("waited without an end"),
        Err(error) => assert_eq!(error, rustix::io::Errno::CHILD, "tokio has seen its end"),
    }
}

#[tokio::test]
async fn a_dropped_call_ends_the_process_before_another_is_started() {
    let script = Script::new(
        r#"echo started >>"$DIR/order"; [ -e "$DIR/gate" ] || mkfifo "$DIR/gate"
        while next; do
            if [ -e "$DIR/gated" ]; then rm "$DIR/gated"; cat "$DIR/gate"; break; fi
            say '"ok":true'
        done
        echo ended >>"$DIR/order""#,
    );
    let sink = script.sink();
    let events = events(3, "T", "s");
    deliver(&sink, &events[..1]).await;
    std::fs::write(script.path("gated"), "").unwrap();
    assert!(is_pending(&mut std::pin::pin!(sink.handle_slice(&events[1..2]))).await, "given up half-way");
    let again = deliver(&sink, &events[1..]);
    let mut again = std::pin::pin!(again);
    for _ in 0..1000 {
        assert!(is_pending(&mut again).await, "the first process still runs");
        tokio::task::yield_now().await;
    }
    let gate = script.path("gate");
    tokio::task::spawn_blocking(move || std::fs::write(gate, "")).await.unwrap().unwrap();
    assert_eq!(again.await, 2);
    sink.close().await;
    assert_eq!(script.read("order"), "started\nended\nstarted\nended\n");
}

/// Polls once.
async fn is_pending<F: Future>(future: &mut Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_program_that_is_not_there_or_may_not_be_run_is_a_fault_of_the_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no-program");
    std::fs::write(&file, "text").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let missing = folder.path().join("missing");
    for (program, said) in [(&missing, "there is no such program"), (&file, "may be executed")] {
        let sink = ExecSink::new(ExecSettings::new([program.to_str().unwrap(), "s3cr3t"])).unwrap();
        let failed = failure(&sink, &event(1, "T", "s")).await;
        assert_eq!(class(&failed), Class::Fatal, "{failed}");
        let text = failed.message();
        assert!(text.contains(said) && text.contains(program.to_str().unwrap()), "{text}");
        assert!(!format!("{text} {sink:?}").contains("s3cr3t"));
    }
    let error = ExecSink::new(ExecSettings::new(Vec::<String>::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn standard_error_goes_to_the_log_line_by_line() {
    let log = Log::default();
    let guard =
        tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish().set_default();
    let script = Script::new(
        r#"while next; do printf 'first "line"\nsecond\tline\n' >&2; say '"ok":true'; done
        printf 'no end' >&2"#,
    );
    let sink = script.sink();
    deliver(&sink, &[event(1, "T", "s")]).await;
    sink.close().await;
    drop(guard);
    let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = lines.iter().filter(|line| line["message"] == "the command says").collect();
    let texts: Vec<_> = said.iter().map(|line| line["line"].as_str().unwrap()).collect();
    assert_eq!(texts, ["first \"line\"", "second\tline", "no end"]);
    let pid: u64 = script.read("starts").trim().parse().unwrap();
    assert!(said.iter().all(|line| line["command"] == "sh" && line["pid"] == pid && line["level"] == "INFO"));
}
