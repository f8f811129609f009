//! What the words mean: events, positions, names, the state of a projection, failed events.

mod append;
mod checkpoint;
mod correlation;
mod event;
mod failed_event;
mod filter;
mod ids;
mod interner;
mod partition;
mod position;
mod projection_state;
mod stream_name;

pub use append::{Append, Appended, Expected, NewEvent};
pub use checkpoint::{Advance, Checkpoint};
pub use correlation::correlation_id;
pub use event::{ContentType, EventParts, RecordedEvent, rfc3339};
pub use failed_event::{DeadLetter, FailedEvent, FailedState};
pub use filter::{Filter, Pattern};
pub use ids::{NameError, ProjectionKey, ProjectionName};
pub use interner::Interner;
pub use partition::{InstanceRank, Partition, ProjectionPart, stream_hash};
pub use position::{ParsePositionError, Position};
pub use projection_state::{LastEvent, ProjectionState};
pub use stream_name::{MAX_NAME_BYTES, category_of, check_event_type, check_stream_name};
