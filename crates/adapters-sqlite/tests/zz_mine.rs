#[path = "it/claims.rs"] mod claims;
#[path = "it/contracts.rs"] mod contracts;
#[path = "it/files.rs"] mod files;
#[path = "it/kit.rs"] mod kit;
#[path = "it/log.rs"] mod log;
#[path = "it/store.rs"] mod store;
#[path = "it/wake_up.rs"] mod wake_up;
