//! The laws of `DeadLetters`.

use futures_util::poll;

use highwater_core::model::{EventParts, Position, RecordedEvent};
use highwater_core::policy::Class;
use highwater_core::ports::{DeadLetters, HandlerLetter};

use super::DeadLettersFixture;
use super::suite::suite;
use super::support::without;
use crate::fixtures::{event, hostile_names, id, nasty_payloads};

fn letter(group: &str, generation: u64, event: RecordedEvent) -> HandlerLetter {
    HandlerLetter {
        group: group.to_owned(),
        generation,
        event,
        class: Class::Permanent,
        message: "no such customer: it's \"gone\"\0".to_owned(),
        attempts: 4,
    }
}

async fn list(letters: &dyn DeadLetters, group: &str) -> Vec<HandlerLetter> {
    letters.list(group, None, 10_000).await.expect("the letters can be listed")
}

/// Everything that must come back, the event's bytes included.
fn whole(letter: &HandlerLetter) -> (String, u64, String, Class, String, u32) {
    let event = format!("{:?}", letter.event.parts());
    (letter.group.clone(), letter.generation, event, letter.class, letter.message.clone(), letter.attempts)
}

suite! {
    [$] dead_letters => dead_letters_laws [] (fixture: DeadLettersFixture)

    /// `publish` returns only when the letter is durable; an error means that it is not (B-3).
    fn law_1_published_is_durable {
        let kept = letter("g", 1, event(1, "A", "a-1"));
        fixture.letters.publish(&kept).await.expect("it can be published");
        let found = list(&*fixture.second, "g").await;
        assert_eq!(found.iter().map(whole).collect::<Vec<_>>(), [whole(&kept)], "another process sees it");
        let Some(outage) = fixture.outage.clone() else { return without("law_1", "outage") };
        outage(true).await;
        let lost = letter("g", 1, event(2, "A", "a-1"));
        fixture.letters.publish(&lost).await.expect_err("the storage is cut off");
        fixture.letters.list("g", None, 10).await.expect_err("the storage is cut off");
        fixture.letters.remove("g", 1, kept.event.position()).await.expect_err("the storage is cut off");
        outage(false).await;
        assert_eq!(list(&*fixture.second, "g").await.len(), 1);
    }

    /// Publishing the same (group, generation, position) again changes nothing but the reason and the
    /// attempts.
    fn law_2_publishing_again_changes_the_reason_only {
        let first = letter("g", 1, event(1, "A", "a-1"));
        fixture.letters.publish(&first).await.expect("it can be published");
        let again = HandlerLetter {
            class: Class::Unclassified,
            message: "another reason".to_owned(),
            attempts: u32::MAX,
            ..first.clone()
        };
        for _ in 0..2 {
            fixture.letters.publish(&again).await.expect("it can be published again");
            let found = list(&*fixture.second, "g").await;
            assert_eq!(found.iter().map(whole).collect::<Vec<_>>(), [whole(&again)]);
        }
        // Another generation, group or half of the position is another letter.
        let at_1_1 = RecordedEvent::new(EventParts {
            position: Position::new(1, 1),
            ..event(1, "A", "a-1").parts().clone()
        });
        for other in
            [letter("g", 2, first.event.clone()), letter("G", 1, first.event.clone()), letter("g", 1, at_1_1)]
        {
            fixture.letters.publish(&other).await.expect("it can be published");
        }
        assert_eq!(list(&*fixture.second, "g").await.len(), 3);
        assert_eq!(list(&*fixture.second, "G").await.len(), 1);
    }

    /// The event comes back byte for byte, whatever its payload.
    fn law_3_the_event_comes_back_byte_for_byte {
        let names = hostile_names();
        let mut expected = Vec::new();
        for (n, payload) in (1..).zip(nasty_payloads()) {
            let index = usize::try_from(n).expect("a small number");
            let parts = EventParts {
                id: id(n),
                content_type: payload.content_type,
                data: payload.data.clone(),
                metadata: payload.data.clone(),
                time_micros: -1,
                category: names[(index * 2) % names.len()].as_str().into(),
                ..event(n, &names[index % names.len()], &names[(index + 11) % names.len()]).parts().clone()
            };
            expected.push(letter("g", 1, RecordedEvent::new(parts)));
        }
        let edge = i64::MAX.unsigned_abs();
        expected.push(letter(
            "g",
            edge,
            RecordedEvent::new(EventParts {
                position: Position::new(edge, edge),
                sequence: edge,
                time_micros: i64::MAX,
                ..event(1, "A", "a-1").parts().clone()
            }),
        ));
        for letter in &expected {
            fixture.letters.publish(letter).await.expect("it can be published");
        }
        let found = list(&*fixture.second, "g").await;
        assert_eq!(
            found.iter().map(whole).collect::<Vec<_>>(),
            expected.iter().map(whole).collect::<Vec<_>>()
        );
    }

    /// `list` returns letters of the group by position, behind `after`, at most `limit`.
    fn law_4_list_pages_by_position {
        let hostile = hostile_names();
        for group in hostile.iter().map(String::as_str).chain(["g"]) {
            for n in [10, 2, 9, 1, 100] {
                let letter = letter(group, 1, event(n, "A", "a-1"));
                fixture.letters.publish(&letter).await.expect("it can be published");
            }
        }
        for group in hostile.iter().map(String::as_str).chain(["g"]) {
            for limit in [1, 2, 5, 1000] {
                let (mut after, mut seen) = (None, Vec::new());
                loop {
                    let page = fixture.second.list(group, after, limit).await.expect("they can be listed");
                    assert!(page.len() <= limit);
                    let Some(last) = page.last() else { break };
                    assert!(page.iter().all(|letter| letter.group == group));
                    after = Some(last.event.position());
                    seen.extend(page.iter().map(|letter| letter.event.position().commit()));
                }
                assert_eq!(seen, [1, 2, 9, 10, 100], "of {group:?} in pages of {limit}");
            }
        }
        let beyond = fixture.letters.list("g", Some(Position::MAX), 10).await;
        assert!(beyond.expect("they can be listed").is_empty());
        assert!(list(&*fixture.letters, "unknown").await.is_empty());
    }

    /// `remove` says whether the letter was there.
    fn law_5_remove_says_what_it_found {
        let kept = letter("g", 1, event(1, "A", "a-1"));
        let at = kept.event.position();
        fixture.letters.publish(&kept).await.expect("it can be published");
        for (group, generation, position) in
            [("G", 1, at), ("g", 2, at), ("g", 1, Position::new(1, 1)), ("g", u64::MAX >> 1, Position::MAX)]
        {
            let found = fixture.letters.remove(group, generation, position).await;
            assert!(!found.expect("the storage answers"), "{group} {generation} {position}");
        }
        assert_eq!(list(&*fixture.second, "g").await.len(), 1);
        assert!(fixture.second.remove("g", 1, at).await.expect("the storage answers"));
        assert!(!fixture.letters.remove("g", 1, at).await.expect("the storage answers"));
        assert!(list(&*fixture.letters, "g").await.is_empty());
    }

    /// Dropping a future leaves an operation done or not done.
    fn law_6_a_dropped_call_is_done_or_not_done {
        for n in 1..20_u64 {
            let letter = letter("g", 1, event(n, "A", "a-1"));
            {
                let mut dropped = fixture.letters.publish(&letter);
                for _ in 0..n % 4 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            for found in list(&*fixture.second, "g").await {
                assert_eq!(found.event.data(), event(found.event.position().commit(), "A", "a-1").data());
            }
            fixture.letters.publish(&letter).await.expect("trying again is safe");
        }
        assert_eq!(list(&*fixture.second, "g").await.len(), 19);
    }
}
