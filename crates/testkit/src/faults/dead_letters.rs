//! Dead letters with faults.

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::Position;
use highwater_core::ports::{DeadLetters, HandlerLetter};

use super::Faulty;

#[async_trait]
impl<D: DeadLetters> DeadLetters for Faulty<D> {
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error> {
        self.plan.around("dead_letters.publish", self.inner.publish(letter)).await
    }

    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error> {
        self.plan.around("dead_letters.list", self.inner.list(group, after, limit)).await
    }

    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error> {
        self.plan.around("dead_letters.remove", self.inner.remove(group, generation, position)).await
    }
}
