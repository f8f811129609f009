use highwater_core::model::*; use highwater_core::ports::*; use highwater_sqlite::*; use std::time::Instant;
#[tokio::test(flavor="multi_thread")]
async fn perf() {
    let d = tempfile::tempdir().unwrap(); let f = d.path().join("x.db");
    let o = SqliteOptions::default().synchronous(Synchronous::Normal);
    let log = SqliteLog::open(&f, &o).await.unwrap();
    let n = 200_000u64; let t = Instant::now();
    let data = bytes::Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(250)));
    for b in 0..n/2000 { let call: Vec<Append> = (0..2000).map(|i| Append { stream: format!("case-{}", (b*2000+i)*7919 % 5000).into(), category: None, expected: Expected::Any, events: vec![NewEvent::json("FlightLanded", data.clone())] }).collect(); log.append(&call).await.unwrap(); }
    eprintln!("append {:.2} us/ev", t.elapsed().as_secs_f64()*1e6/n as f64);
    let t = Instant::now(); for _ in 0..200 { log.append(&[Append { stream: "one-1".into(), category: None, expected: Expected::Any, events: vec![NewEvent::json("X", data.clone())] }]).await.unwrap(); } eprintln!("single append {:.1} us", t.elapsed().as_secs_f64()*1e6/200.0);
    for (what, filter) in [("all", Filter::all()), ("match", Filter::types(["Flight*"])), ("none", Filter::types(["Nope", "X2"]))] {
        for _ in 0..2 { let mut r = log.open(None, &filter).await.unwrap(); let t = Instant::now(); let mut c = 0; loop { let b = r.next(Limit{events:2000,bytes:8<<20}).await.unwrap(); c += b.events.len(); if b.caught_up {break} } eprintln!("{what} next {:.3} us/ev {c}", t.elapsed().as_secs_f64()*1e6/n as f64); }
        let mut r = log.open(None, &filter).await.unwrap(); let t = Instant::now(); let mut c = 0; loop { let b = r.next_range(Limit{events:20000,bytes:64<<20}).await.unwrap(); c += b.events; if b.caught_up {break} } eprintln!("{what} range {:.3} us/ev {c}", t.elapsed().as_secs_f64()*1e6/n as f64);
    }
    let c = rusqlite::Connection::open(&f).unwrap(); let t = Instant::now(); let mut s = c.prepare("select position,\"offset\",octet_length(data) from highwater_event where (position,\"offset\")>(0,0) order by 1,2").unwrap(); let mut rows = s.query([]).unwrap(); let mut k=0; while let Some(r)=rows.next().unwrap(){ let _:i64=r.get(2).unwrap(); k+=1;} eprintln!("bare sizes {:.3} {k}", t.elapsed().as_secs_f64()*1e6/n as f64);
    let t = Instant::now(); let (k,s):(i64,i64)= c.query_row("select count(*),sum(z) from (select octet_length(type)+octet_length(stream)+octet_length(data)+octet_length(metadata) z from highwater_event where (position,\"offset\")>(0,0) order by position,\"offset\" limit 200000)",[],|r|Ok((r.get(0)?,r.get(1)?))).unwrap(); eprintln!("agg {:.3} {k} {s}", t.elapsed().as_secs_f64()*1e6/n as f64);
    let t = Instant::now(); let k:i64= c.query_row("select count(*) from highwater_event where (position,\"offset\")>(0,0)",[],|r|r.get(0)).unwrap(); eprintln!("count {:.3} {k}", t.elapsed().as_secs_f64()*1e6/n as f64);
}
