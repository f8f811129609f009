//! The observer that remembers.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{Position, ProjectionName};
use highwater_core::ports::{Observer, Seen};
use highwater_core::{Error, ErrorKind};
use highwater_testkit::observer::{Kind, RecordingObserver, Saw};

fn name(text: &str) -> ProjectionName {
    ProjectionName::new(text).unwrap()
}

#[test]
fn it_keeps_copies_in_order() {
    let observer = RecordingObserver::new();
    {
        let error = Error::new(ErrorKind::Timeout, "read the log");
        let reason = String::from("gone");
        observer.seen(&name("p"), &Seen::Started { epoch: 2, after: Some(Position::new(1, 0)) });
        let after = Duration::from_secs(1);
        observer.seen(&name("p"), &Seen::Retrying { error: &error, after, attempt: 3 });
        observer.seen(&name("q"), &Seen::Stalled { reason: &reason });
    }
    let retrying = Saw::Retrying {
        kind: ErrorKind::Timeout,
        message: "read the log".to_owned(),
        after: Duration::from_secs(1),
        attempt: 3,
    };
    assert_eq!(observer.of("p"), [Saw::Started { epoch: 2, after: Some(Position::new(1, 0)) }, retrying]);
    assert_eq!(observer.all()[2], (name("q"), Saw::Stalled { reason: "gone".to_owned() }));
    assert_eq!((observer.count(Kind::Stalled), observer.count(Kind::Healed)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_what_comes_and_for_what_came() {
    let observer = Arc::new(RecordingObserver::new());
    let waiting = {
        let observer = observer.clone();
        tokio::spawn(async move { observer.wait_for_nth(Kind::EventRecovered, 2).await })
    };
    for n in 1..=3 {
        tokio::task::yield_now().await;
        observer.seen(&name("p"), &Seen::EventRecovered { position: Position::new(n, 0) });
    }
    let second = Saw::EventRecovered { position: Position::new(2, 0) };
    assert_eq!(waiting.await.unwrap(), second);
    assert_eq!(
        observer.wait_for(Kind::EventRecovered).await,
        Saw::EventRecovered { position: Position::new(1, 0) }
    );
    let never = tokio::time::timeout(Duration::from_secs(60), observer.wait_for(Kind::Faulted)).await;
    assert!(never.is_err());
}
