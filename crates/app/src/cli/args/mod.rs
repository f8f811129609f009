//! The command line. What a flag means in detail stands in its help text, and nowhere else.

mod events;
mod global;
mod operate;
mod projections;
mod running;

pub(crate) use events::{Append, Export, Import};
pub(crate) use global::{Global, LogFormat};
pub(crate) use operate::{
    Checkpoints, Consent, DeadLetters, FailedEvents, Listed, MigrateOlder, OlderForm, Selected, Versions,
};
pub(crate) use projections::{
    ConfigCommand, Demo, Init, Name, Rebuild, Rewind, RewindTarget, Run, Target, Verify, Wait,
};
pub(crate) use running::{Breaker, BreakerCommand, Persist, PersistNow};

use clap::{Parser, Subcommand};

/// Projections for event-sourced systems: exactly once in your read models.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage or config, 3 unknown name, 4 backend unavailable, \
                  5 busy or lost ownership, 6 something is parked."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it: a folder with a week of real flights and four projections, imported and run
    Demo(Demo),
    /// Write a starter config with a projection
    Init(Init),
    /// Create or update the tables that Highwater keeps in the log's and the store's databases
    Migrate,
    /// Append events from files of JSON lines
    Import(Import),
    /// Write events as JSON lines, the form that import reads
    Export(Export),
    /// Append one event
    Append(Append),
    /// Run the projections and handlers of the config until stopped
    Run(Run),
    /// Show where each projection and handler stands and how far behind the log it is
    Status,
    /// Wait until a projection or a handler has settled a position
    Wait(Wait),
    /// Pause a projection in all processes; no batch commits afterwards
    Pause(Name),
    /// Let a paused projection go on
    Resume(Name),
    /// Look at checkpoints and change them
    #[command(subcommand)]
    Checkpoints(Checkpoints),
    /// Look at events that are not applied, and have them tried again
    #[command(subcommand)]
    FailedEvents(FailedEvents),
    /// Look at parked and held events, and at those that handlers gave up; retry or discard them
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Empty a projection's read model and start it again from the beginning of the log
    Rebuild(Rebuild),
    /// Set a projection back to an earlier position and keep its read model: what comes behind is applied again
    Rewind(Rewind),
    /// Compute a projection's read model anew, beside the stored one, and compare the two
    Verify(Verify),
    /// Show the circuit breaker in front of a running process's checkpoint store, or close it
    Breaker(Breaker),
    /// Have a running process write the checkpoints of its handlers now
    #[command(subcommand)]
    Persist(Persist),
    /// Check the config, or show each effective value with its origin
    #[command(subcommand)]
    Config(ConfigCommand),
}

impl Command {
    /// Whether the command runs on, so that its log is what one looks at.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Run(run) if !run.until_caught_up)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for arguments in [["highwater", "--json", "status"], ["highwater", "status", "--json"]] {
            assert!(Cli::try_parse_from(arguments).unwrap().global.json);
        }
        assert!(Cli::try_parse_from(["highwater", "-q", "-v", "status"]).is_err());
    }

    #[test]
    fn a_process_is_named_before_or_behind_the_subcommand() {
        for arguments in [["breaker", "--at", "x:1", "reset"], ["breaker", "reset", "--at", "x:1"]] {
            let parsed = Cli::try_parse_from([&["highwater"][..], &arguments].concat()).unwrap().command;
            let Command::Breaker(Breaker { at, command }) = parsed else { panic!("{parsed:?}") };
            assert_eq!((at.at.as_deref(), command), (Some("x:1"), Some(BreakerCommand::Reset)));
        }
    }

    #[test]
    fn what_is_dangerous_is_named_exactly() {
        assert!(Cli::try_parse_from(["highwater", "dead-letters", "discard", "p"]).is_err());
        assert!(Cli::try_parse_from(["highwater", "dead-letters", "discard", "p", "--all"]).is_ok());
        assert!(Cli::try_parse_from(["highwater", "dead-letters", "discard", "p", "1:0", "--all"]).is_err());
        assert!(Cli::try_parse_from(["highwater", "checkpoints", "clear"]).is_err());
        assert!(Cli::try_parse_from(["highwater", "persist"]).is_err());
        let migrate = ["highwater", "checkpoints", "migrate", "old:", "--from"];
        assert!(Cli::try_parse_from([&migrate[..], &["commit@prepare,commit:prepare"]].concat()).is_ok());
        assert!(Cli::try_parse_from([&migrate[..], &["12@3"]].concat()).is_err());
        assert!(Cli::try_parse_from(["highwater", "wait", "p", "01:0"]).is_err());
    }
}
