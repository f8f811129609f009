//! The events: made up, the same in every run, about 200 bytes each, over 10,000 streams.

use std::sync::Arc;

use anyhow::Context;
use highwater::{Append, AppendEvents, ContentType, Expected, NewEvent};
use uuid::{Builder, Uuid};

const SEED: u64 = 0x5eed;
pub(crate) const STREAMS: u32 = 10_000;
const ITEMS: u32 = 200;
/// Bytes of a payload.
pub(crate) const PAYLOAD: usize = 200;
/// Microseconds of 2024-01-01T00:00:00Z, and between two events.
const FIRST_TIME: i64 = 1_704_067_200_000_000;
const TIME_STEP: i64 = 1_000;
/// Appends in one transaction of the log.
const APPENDS_A_CALL: usize = 1_000;
/// Less than all other events together can make up for, so that a sum with it is negative in every batch.
pub(crate) const RUINOUS: i64 = -1_000_000_000_000;

/// The type of all events.
pub(crate) const EVENT_TYPE: &str = "ItemSold";
/// In a poisoned log one event in so many is bad.
pub(crate) const POISON_EVERY: u32 = 1_000;

/// What an event says; the rest of its payload is passed over.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Sold<'a> {
    pub(crate) account: &'a str,
    pub(crate) cents: i64,
}

/// How many bad events a poisoned log of this size has.
pub(crate) fn poison_in(events: u32) -> u32 {
    events / POISON_EVERY
}

/// Appends `events` events: one to four of a stream an append. In a poisoned log the thousandth,
/// three-thousandth, … violates a constraint of the read models, and the two-thousandth, four-thousandth, …
/// is no JSON; all others are the same as in a clean one.
pub(crate) async fn fill(log: &dyn AppendEvents, events: u32, poisoned: bool) -> anyhow::Result<()> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let event_type: Arc<str> = EVENT_TYPE.into();
    let mut made = 0;
    let mut appends = Vec::new();
    while made < events {
        let stream = rng.u32(..STREAMS);
        let count = rng.u32(1..=4).min(events - made);
        let batch = (made + 1..=made + count)
            .map(|number| {
                let data = payload(&mut rng, stream);
                let poison = if poisoned && number % POISON_EVERY == 0 { number / POISON_EVERY } else { 0 };
                NewEvent {
                    id: id(&mut rng),
                    event_type: event_type.clone(),
                    time_micros: Some(FIRST_TIME + i64::from(number) * TIME_STEP),
                    content_type: ContentType::Json,
                    data: match poison {
                        0 => data.into(),
                        odd if odd % 2 == 1 => ruinous(stream).into(),
                        _ => data[..PAYLOAD / 2].to_owned().into(),
                    },
                    metadata: "{}".into(),
                }
            })
            .collect();
        made += count;
        appends.push(Append {
            stream: account(stream).into(),
            category: None,
            expected: Expected::Any,
            events: batch,
        });
        if appends.len() == APPENDS_A_CALL || made == events {
            log.append(&appends).await.context("fill the log")?;
            appends.clear();
        }
    }
    Ok(())
}

/// The stream with this number.
pub(crate) fn account(stream: u32) -> String {
    format!("account-{stream:05}")
}

fn id(rng: &mut fastrand::Rng) -> Uuid {
    Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid()
}

/// A payload of [`PAYLOAD`] bytes.
pub(crate) fn payload(rng: &mut fastrand::Rng, stream: u32) -> String {
    let (item, quantity, cents) = (rng.u32(..ITEMS), rng.u32(1..10), rng.u32(100..10_000));
    let begin = format!(
        r#"{{"account":"{}","item":"item-{item:03}","quantity":{quantity},"cents":{cents},"note":""#,
        account(stream)
    );
    let note = PAYLOAD.saturating_sub(begin.len() + 2);
    format!("{begin}{}\"}}", "n".repeat(note))
}

fn ruinous(stream: u32) -> String {
    let account = account(stream);
    format!(r#"{{"account":"{account}","item":"item-000","quantity":1,"cents":{RUINOUS},"currency":"EUR"}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_valid_and_of_one_size_and_the_bad_ones_are_bad() {
        let mut rng = fastrand::Rng::with_seed(SEED);
        for stream in [0, STREAMS - 1] {
            let text = payload(&mut rng, stream);
            assert_eq!(text.len(), PAYLOAD);
            let sold: Sold<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(sold.account, account(stream));
            assert!(serde_json::from_str::<Sold<'_>>(&text[..PAYLOAD / 2]).is_err());
            assert_eq!(serde_json::from_str::<Sold<'_>>(&ruinous(stream)).unwrap().cents, RUINOUS);
        }
    }
}
