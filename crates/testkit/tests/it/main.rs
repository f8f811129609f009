//! The testkit under its own suites, and the parts of it that no suite covers.

mod contracts;
mod faults;
mod memory;
mod observer;
mod time;
