use anyfront::topology::check::check;
use std::path::Path;
#[test]
fn a() {
    let text = std::fs::read_to_string("regions.toml").unwrap();
    match check(&text, Path::new("regions.toml")) {
        Ok(checked) => println!("{}\n{:#?}", checked.warnings, checked.topology.routes.len()),
        Err(mistakes) => panic!("{mistakes}"),
    }
}
