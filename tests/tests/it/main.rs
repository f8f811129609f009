//! End-to-end suites: the real binary on real events, and the library from outside.

mod bad_input;
mod data;
mod demo;
mod docs;
mod handlers;
mod kill;
mod library;
mod operate;
mod partitions;
mod postgres;
mod support;
mod two_processes;
