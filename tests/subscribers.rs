//! A whole node: what operators see of those who are told, and how they end it.

#[path = "common/tls.rs"]
mod tls;
mod operator;

use operator::{anyfront, complaint, output};
use std::net::{Ipv4Addr, SocketAddr};
use tls::{Authority, Plan, Stand, until};

#[test]
fn operators_list_who_is_told_and_end_it() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let pair = Authority::new("us").sign(&["gw.test"]);
    let tables = "[status]\nurl = \"https://status.gw.test\"\n";
    let plan = Plan { origin: nobody, tables, pairs: &[("all", &pair)], files: &[], secret: None, workers: 1 };
    let stand = Stand::start(&plan);
    let admin = stand.admin.to_string();
    let ask = |words: &[&str]| anyfront(&[&["subscribers", "--admin", &admin], words].concat());
    until("the history is open", || ask(&[]).status.success());
    assert_eq!(output(&ask(&[])), "nobody has asked to be told\n");
    let sealed = rusqlite::Connection::open(stand.folder.path().join("state/history.db")).expect("it opens");
    assert_eq!(sealed.query_row("SELECT count(*) FROM subscriber", [], |row| row.get::<_, i64>(0)), Ok(0));
    assert!(complaint(&ask(&["remove", "17"])).contains("there is no subscription 17"));
    let json: serde_json::Value = serde_json::from_str(&output(&ask(&["--json"]))).expect("JSON");
    assert_eq!(json["subscribers"], serde_json::json!([]));
}
