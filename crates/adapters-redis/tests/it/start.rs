//! Opening a server, and what it warns of.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_redis::{Redis, RedisOptions, Warning};

use crate::kit::Place;
use crate::own_server::OwnServer;

async fn refused(url: &str, options: &RedisOptions) -> highwater_core::Error {
    let opened = tokio::time::timeout(Duration::from_secs(10), Redis::open(url, options)).await;
    opened.expect("it is bounded").expect_err("it cannot be opened")
}

#[tokio::test]
async fn x_12_a_server_that_is_not_there_is_unavailable_and_named() {
    let error = refused("redis://user:secret@127.0.0.1:1/3", &RedisOptions::default()).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("127.0.0.1:1/3"), "{}", error.chain());
    assert!(!format!("{error:?} {}", error.chain()).contains("secret"), "{error:?}");
    let error = refused("redis://127.0.0.1", &RedisOptions::default().prefix("{}")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://:secret@{}", silent.local_addr().expect("its address"));
    let options = RedisOptions::default()
        .connect_timeout(Duration::from_millis(200))
        .response_timeout(Duration::from_millis(200));
    let error = refused(&url, &options).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    // Nor one that speaks TLS with nobody.
    let error = refused(&url.replacen("redis", "rediss", 1), &options).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_no_matter_of_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("rediss://:secret@{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let answer = client.and_then(|mut client| {
                std::io::Read::read(&mut client, &mut [0; 1024])?;
                std::io::Write::write_all(&mut client, b"-ERR unknown command\r\n")
            });
            answer.expect("the client waits");
        }
    });
    let error = refused(&url, &RedisOptions::default()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

#[tokio::test]
async fn credentials_are_checked_and_never_printed() {
    let Some(server) = OwnServer::start(&["--requirepass", "the right one"]) else { return };
    let right = server.url().replacen("the right one", "the%20right%20one", 1);
    let place = Place::at(&right);
    let redis = place.redis().await;
    assert!(!format!("{redis:?} {}", redis.shown()).contains("right"), "{redis:?}");
    for url in [
        format!("redis://127.0.0.1:{}", server.port()),
        format!("redis://:wrong-password@127.0.0.1:{}", server.port()),
        format!("redis://nobody:wrong-password@127.0.0.1:{}", server.port()),
    ] {
        let error = refused(&url, &RedisOptions::default()).await;
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
        assert!(!format!("{error:?} {}", error.chain()).contains("wrong-password"), "{error:?}");
    }
}

#[tokio::test]
async fn d_11_dangers_are_told_at_the_start() {
    let settings = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"];
    let Some(server) = OwnServer::start(&settings) else { return };
    let found = server.place().redis().await.inspect().await.expect("the server answers");
    let evicts = Warning::Evicts { policy: "allkeys-lfu".to_owned() };
    assert_eq!(found, [evicts, Warning::NotPersistent]);

    let primary = server.port().to_string();
    let settings = ["--save", "900 1", "--replicaof", "127.0.0.1", &primary];
    let Some(replica) = OwnServer::start(&settings) else { return };
    let found = replica.place().redis().await.inspect().await.expect("the server answers");
    assert_eq!(found, [Warning::SnapshotsOnly, Warning::Replica]);

    let Some(sound) = OwnServer::start(&["--appendonly", "yes"]) else { return };
    assert_eq!(sound.place().redis().await.inspect().await.expect("the server answers"), []);
}

#[tokio::test]
async fn d_11_a_server_that_does_not_let_us_look_is_used_and_told() {
    let Some(server) = OwnServer::start(&[]) else { return };
    server.admit("app", "+@all -info -config");
    let url = format!("redis://app:pw@127.0.0.1:{}", server.port());
    let redis = Redis::open(&url, &RedisOptions::default()).await.expect("it is used all the same");
    assert_eq!(redis.inspect().await.expect("the server answers"), [Warning::Hidden]);
}
