//! The laws of `Subscriptions` (1 and 2) and `Consumer` (3 to 6).

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;

use highwater_core::ErrorKind;
use highwater_core::ports::{Consumer, Delivery, GroupKey, Nack, Receipt};

use super::SubscriptionFixture;
use super::suite::suite;
use super::support::{QUIET, SOON};
use crate::fixtures::{append_to, id, json_n, new_event};

impl SubscriptionFixture {
    fn group(&self, group: &str) -> GroupKey {
        GroupKey { stream: self.stream.clone(), group: group.to_owned() }
    }

    async fn publish(&self, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let call = [append_to(&self.stream, vec![new_event(n, "Message")])];
            self.append.append(&call).await.expect("the stream takes messages");
        }
    }

    async fn ensured(&self, group: &str) -> GroupKey {
        let key = self.group(group);
        self.subscriptions.ensure(&key).await.expect("the group can be created");
        key
    }

    async fn consumer(&self, key: &GroupKey, buffer: usize) -> Box<dyn Consumer> {
        self.subscriptions.consume(key, buffer).await.expect("the group can be joined")
    }
}

async fn receive_within(consumer: &mut dyn Consumer, limit: Duration) -> Delivery {
    tokio::time::timeout(limit, consumer.receive())
        .await
        .expect("a message must come")
        .expect("the subscription stands")
}

async fn nothing_comes(consumer: &mut dyn Consumer) {
    let extra = tokio::time::timeout(QUIET, consumer.receive()).await;
    assert!(extra.is_err(), "unexpected: {extra:?}");
}

/// The number in the payload of a message.
fn number(delivery: &Delivery) -> u64 {
    let event = delivery.event.as_ref().expect("the message has an event");
    (0..1000).find(|n| json_n(*n).as_bytes() == event.data()).expect("a message of this law")
}

async fn ack(consumer: &mut dyn Consumer, delivery: &Delivery) {
    consumer.ack(std::slice::from_ref(&delivery.receipt)).await.expect("it can be acknowledged");
}

suite! {
    [$] persistent_subscription => persistent_subscription_laws [] (fixture: SubscriptionFixture)

    /// `ensure` creates the group, or succeeds quietly if it exists.
    fn law_1_ensure_is_quiet_about_a_group_that_exists {
        let unknown = fixture.subscriptions.consume(&fixture.group("unknown"), 1).await;
        let error = unknown.err().expect("there is no such group");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        let key = fixture.ensured("g").await;
        fixture.publish(0..1).await;
        let mut consumer = fixture.consumer(&key, 4).await;
        fixture.subscriptions.ensure(&key).await.expect("a group that exists is a success");
        let delivery = receive_within(&mut *consumer, SOON).await;
        assert_eq!(number(&delivery), 0);
        assert_eq!(delivery.event.as_ref().expect("it has an event").id(), id(0));
        ack(&mut *consumer, &delivery).await;
        fixture.subscriptions.ensure(&key).await.expect("a group that exists is a success");
        nothing_comes(&mut *consumer).await; // ensuring again has not begun anew
    }

    /// Each message of the stream is delivered to one consumer of the group at a time.
    fn law_2_each_message_goes_to_one_consumer {
        let key = fixture.ensured("g").await;
        let (found, mut numbers) = mpsc::unbounded_channel();
        let mut consumers = Vec::new();
        for _ in 0..2 {
            let mut consumer = fixture.consumer(&key, 3).await;
            let found = found.clone();
            consumers.push(tokio::spawn(async move {
                loop {
                    let delivery = consumer.receive().await.expect("the subscription stands");
                    found.send(number(&delivery)).expect("the law is listening");
                    tokio::task::yield_now().await;
                    ack(&mut *consumer, &delivery).await;
                }
            }));
        }
        fixture.publish(0..40).await;
        let mut seen = Vec::new();
        while seen.len() < 40 {
            let next = tokio::time::timeout(SOON, numbers.recv()).await.expect("all messages come");
            seen.push(next.expect("the consumers live"));
        }
        let extra = tokio::time::timeout(QUIET, numbers.recv()).await;
        assert!(extra.is_err(), "a message came twice: {extra:?}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 40, "{seen:?}");
        for consumer in consumers {
            consumer.abort();
            assert!(consumer.await.is_err_and(|end| end.is_cancelled()), "a consumer failed");
        }
        // Another group has its own state.
        let other = fixture.ensured("other").await;
        let mut consumer = fixture.consumer(&other, 1).await;
        fixture.publish(40..41).await;
        let first = receive_within(&mut *consumer, SOON).await;
        assert!([0, 40].contains(&number(&first)));
    }

    /// At most `buffer` messages are unacknowledged; what is dropped unacknowledged is delivered again.
    fn law_3_the_buffer_bounds_what_is_in_flight {
        let key = fixture.ensured("g").await;
        fixture.publish(0..6).await;
        let mut consumer = fixture.consumer(&key, 3).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(receive_within(&mut *consumer, SOON).await);
        }
        nothing_comes(&mut *consumer).await;
        ack(&mut *consumer, &held.remove(0)).await;
        held.push(receive_within(&mut *consumer, SOON).await);
        nothing_comes(&mut *consumer).await;
        drop(consumer); // three are unacknowledged

        let mut consumer = fixture.consumer(&key, 10).await;
        let mut again = BTreeSet::new();
        while again.len() < 5 {
            let delivery = receive_within(&mut *consumer, fixture.patience).await;
            assert!(again.insert(number(&delivery)), "{} came twice", number(&delivery));
            ack(&mut *consumer, &delivery).await;
        }
        assert_eq!(again, BTreeSet::from([1, 2, 3, 4, 5]));
        nothing_comes(&mut *consumer).await;
    }

    /// An acknowledged message is not delivered again; `Retry` is, `Park` and `Skip` are not.
    fn law_4_each_outcome_does_what_it_says {
        let key = fixture.ensured("g").await;
        fixture.publish(0..4).await;
        let mut consumer = fixture.consumer(&key, 4).await;
        let mut first = Vec::new();
        for _ in 0..4 {
            first.push(receive_within(&mut *consumer, SOON).await);
        }
        assert!(first.iter().all(|delivery| delivery.retry_count == 0));
        let receipt = |n: u64| -> Vec<Receipt> {
            first.iter().filter(|delivery| number(delivery) == n).map(|it| it.receipt.clone()).collect()
        };
        consumer.ack(&receipt(0)).await.expect("it can be acknowledged");
        consumer.nack(&receipt(1), Nack::Park, "bad").await.expect("it can be parked");
        consumer.nack(&receipt(2), Nack::Skip, "useless").await.expect("it can be skipped");
        let mut retry = receipt(3);
        for count in 1..=3 {
            consumer.nack(&retry, Nack::Retry, "later").await.expect("it can be given back");
            let again = receive_within(&mut *consumer, fixture.patience).await;
            assert_eq!(number(&again), 3);
            assert!(again.retry_count >= count, "{} after {count} retries", again.retry_count);
            retry = vec![again.receipt];
        }
        consumer.ack(&retry).await.expect("it can be acknowledged");
        nothing_comes(&mut *consumer).await;
        drop(consumer);
        let mut consumer = fixture.consumer(&key, 4).await;
        nothing_comes(&mut *consumer).await;
        consumer.ack(&[]).await.expect("nothing to do");
    }

    /// Per stream, first deliveries come in order.
    fn law_5_first_deliveries_come_in_order {
        let key = fixture.ensured("g").await;
        fixture.publish(0..30).await;
        let mut consumer = fixture.consumer(&key, 5).await;
        let mut seen = Vec::new();
        let mut retried = false;
        while seen.len() < 60 {
            if seen.len() == 30 {
                fixture.publish(30..60).await;
            }
            let delivery = receive_within(&mut *consumer, fixture.patience).await;
            if delivery.retry_count == 0 {
                seen.push(number(&delivery));
            }
            if number(&delivery) == 7 && !retried {
                retried = true;
                let receipt = std::slice::from_ref(&delivery.receipt);
                consumer.nack(receipt, Nack::Retry, "later").await.expect("it can be given back");
            } else {
                ack(&mut *consumer, &delivery).await;
            }
        }
        assert_eq!(seen, (0..60).collect::<Vec<_>>());
    }

    /// Dropping `receive` loses no message.
    fn law_6_a_dropped_receive_loses_nothing {
        let key = fixture.ensured("g").await;
        let mut consumer = fixture.consumer(&key, 50).await;
        let mut seen = BTreeSet::new();
        for n in 0..20 {
            let early = consumer.receive().now_or_never();
            if let Some(delivery) = early {
                let delivery = delivery.expect("the subscription stands");
                seen.insert(number(&delivery));
                ack(&mut *consumer, &delivery).await;
            }
            fixture.publish(n..n + 1).await;
            tokio::task::yield_now().await;
        }
        while seen.len() < 20 {
            let delivery = receive_within(&mut *consumer, fixture.patience).await;
            seen.insert(number(&delivery));
            ack(&mut *consumer, &delivery).await;
        }
        assert_eq!(seen, (0..20).collect::<BTreeSet<_>>());
    }
}
