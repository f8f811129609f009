//! adapters-sqlite
