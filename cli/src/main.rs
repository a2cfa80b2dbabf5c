//! forge
fn main() {}
