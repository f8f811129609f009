//! The laws of `PersistTarget`.

use futures_util::poll;

use super::TargetFixture;
use super::suite::suite;
use super::support::without;
use crate::fixtures::hostile_names;

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

suite! {
    [$] persist_target => persist_target_laws [] (fixture: TargetFixture)

    /// `persist` answers for each key, in order; success only after the effect was confirmed (C-14).
    fn law_1_success_is_a_confirmed_effect {
        let names = hostile_names();
        for (n, name) in (0..).zip(&names) {
            fixture.probe.change(name, n).await;
        }
        let answers = fixture.target.persist(&names).await.expect("the target answers");
        assert_eq!(answers.len(), names.len(), "one answer a key");
        for ((n, name), answer) in (0..).zip(&names).zip(answers) {
            answer.unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
            assert_eq!(fixture.probe.written(name).await, Some(n), "{name:?}");
        }
        assert_eq!(fixture.target.persist(&[]).await.expect("nothing to do").len(), 0);
    }

    /// Persisting a key twice ends as persisting it once (C-4), and always with the present value.
    fn law_2_idempotent_and_present {
        fixture.probe.change("a", 1).await;
        for value in [1, 1, 2, 2] {
            fixture.probe.change("a", value).await;
            for _ in 0..2 {
                let answers = fixture.target.persist(&keys(&["a", "a"])).await.expect("the target answers");
                assert!(answers.len() == 2 && answers.iter().all(Result::is_ok), "{answers:?}");
                assert_eq!(fixture.probe.written("a").await, Some(value));
            }
        }
    }

    /// A bad key answers with an error of its own and does not fail the others (C-3).
    fn law_3_a_bad_key_fails_alone {
        let Some(bad) = fixture.bad_key.clone() else { return without("law_3", "bad key") };
        for key in ["a", bad.as_str(), "b"] {
            fixture.probe.change(key, 7).await;
        }
        let batch = vec!["a".to_owned(), bad.clone(), "b".to_owned()];
        let answers = fixture.target.persist(&batch).await.expect("the target as a whole answers");
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(fixture.probe.written("a").await, Some(7));
        assert_eq!(fixture.probe.written("b").await, Some(7));
        assert_eq!(fixture.probe.written(&bad).await, None);
    }

    /// The outer error means that no key is known to be written.
    fn law_4_an_outage_is_the_outer_error {
        let Some(outage) = fixture.outage.clone() else { return without("law_4", "outage") };
        fixture.probe.change("a", 1).await;
        outage(true).await;
        fixture.target.persist(&keys(&["a"])).await.expect_err("the target is cut off");
        outage(false).await;
        let answers = fixture.target.persist(&keys(&["a"])).await.expect("the target answers again");
        assert!(answers[0].is_ok());
        assert_eq!(fixture.probe.written("a").await, Some(1));
    }

    /// Dropping the future leaves each key written or not written.
    fn law_5_a_dropped_persist_leaves_each_key_whole {
        let batch = keys(&["a", "b", "c"]);
        for n in 1..30 {
            for key in &batch {
                fixture.probe.change(key, n).await;
            }
            {
                let mut dropped = fixture.target.persist(&batch);
                for _ in 0..n % 4 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            for key in &batch {
                let written = fixture.probe.written(key).await;
                assert!([(n > 1).then(|| n - 1), Some(n)].contains(&written), "{key}: {written:?}");
            }
            let answers = fixture.target.persist(&batch).await.expect("trying again is safe");
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            for key in &batch {
                assert_eq!(fixture.probe.written(key).await, Some(n));
            }
        }
    }
}
