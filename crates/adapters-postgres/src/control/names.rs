//! What this process is called on the server, and what its channels are called.

use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::options::PgOptions;
use crate::schema::Schema;

/// The longest name that PostgreSQL keeps, for channels and applications alike.
const LONGEST: usize = 63;
/// Hexadecimal digits of an instance's id: 64 bits of chance.
const ID: usize = 16;

/// What all sessions of one `Database` show as their application: the name that the user chose, and an id by
/// which a stand-by finds the sessions of an owner that stands still.
pub(crate) fn session_name(options: &PgOptions) -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(ID);
    // The server keeps ASCII as it is, and only that.
    let chosen = options.application_name.as_deref().unwrap_or("highwater");
    let mut name: String = chosen.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    name.truncate(LONGEST - ID - 1);
    format!("{name} {id}")
}

/// One `Database` of one process, as others see it.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
}

impl Instance {
    pub(super) fn new(connect: &PgConnectOptions, options: &PgOptions) -> Self {
        let shown = connect.get_application_name().map_or_else(|| session_name(options), str::to_owned);
        let id = shown.rsplit(' ').next().unwrap_or_default().to_owned();
        let mut name = format!("process {} on {}", std::process::id(), host());
        if let Some(chosen) = &options.application_name {
            name = format!("{} ({name})", chosen.replace('\0', "?"));
        }
        Self { id, name }
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map_or_else(|| "an unnamed host".to_owned(), |host| host.trim().replace('\0', "?"))
}

/// What is told through the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Events were appended to the log.
    Appended,
    /// Something was committed to the store.
    Committed,
    /// An owner has given something up.
    Released,
}

/// The channels of one schema: `hw_<schema>_appended` and so on.
#[derive(Debug, Clone)]
pub(super) struct Channels {
    names: [(News, String); 3],
}

impl Channels {
    pub(super) fn new(schema: &Schema) -> Self {
        let name = |news, what: &str| {
            let plain = format!("hw_{}_{what}", schema.name());
            let name = if plain.len() <= LONGEST {
                plain
            } else {
                // All processes must come to the same one, of whatever version.
                let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, schema.name().as_bytes());
                format!("hw_{}_{what}", hash.simple())
            };
            (news, name)
        };
        Self {
            names: [
                name(News::Appended, "appended"),
                name(News::Committed, "committed"),
                name(News::Released, "released"),
            ],
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| name.as_str())
    }

    pub(super) fn of(&self, news: &[News]) -> Vec<String> {
        self.names.iter().filter(|(what, _)| news.contains(what)).map(|(_, name)| name.clone()).collect()
    }

    /// What a notification on this channel says; `None` for one that is not ours.
    pub(super) fn what(&self, channel: &str) -> Option<News> {
        self.names.iter().find(|(_, name)| name == channel).map(|(news, _)| *news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_survives_any_chosen_name() {
        for chosen in ["x".repeat(100), "Über\0 \"café\"".to_owned(), String::new()] {
            let options = PgOptions::default().application_name(chosen);
            let name = session_name(&options);
            assert!(name.is_ascii() && !name.contains('\0') && name.len() <= LONGEST, "{name}");
            let connect = PgConnectOptions::new_without_pgpass().application_name(&name);
            let instance = Instance::new(&connect, &options);
            assert_eq!(instance.id.len(), ID, "{name}");
            assert!(name.ends_with(&instance.id), "{name}");
        }
    }

    #[test]
    fn channels_differ_by_schema_and_fit() {
        let channels = |schema: &str| Channels::new(&Schema::new(schema).unwrap());
        assert_eq!(channels("shop").all().next(), Some("hw_shop_appended"));
        let long = format!("{}a", "x".repeat(62));
        let (a, b) = (channels(&long), channels(&"x".repeat(63)));
        for (a, b) in a.all().zip(b.all()) {
            assert!(a.len() <= LONGEST && a != b, "{a} {b}");
        }
        assert_eq!(a.what(a.all().nth(2).unwrap()), Some(News::Released));
        assert_eq!(a.what("somebody else's"), None);
    }
}
