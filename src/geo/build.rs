//! Makes a country database in MaxMind's format from lists of ranges as Tor writes them: `start,end,CC` on each line,
//! IPv4 as whole numbers, IPv6 as addresses. Text in, bytes out: the same text gives the same bytes.
//!
//! Neighbours of one country become one network, and equal parts of the tree are written once and shared, which makes
//! the file a third as large. Codes that are no country (`??`, `EU`, `AP`) are left out: a continent has no point, and
//! where this node stands is the better guess. The format: <https://maxmind.github.io/MaxMind-DB/>.

use super::countries::Countries;
use super::place::Country;
use flate2::{Compression, GzBuilder};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::UNIX_EPOCH;

/// Records are 24 bits wide, and the data stands behind the nodes.
const NODES_MAX: usize = (1 << 24) - (1 << 16);
/// Networks that a reader may meet for each node, or strict ones take the tree for a broken one (maxminddb's `verify`).
const NETWORKS_PER_NODE_MAX: u64 = 3;
/// Octets between the tree and the data.
const SEPARATOR: [u8; 16] = [0; 16];
/// What stands before the metadata.
const METADATA_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A list of ranges and what it is called.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// The file's name, for mistakes.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A database that was made.
#[derive(Debug)]
pub struct Built {
    /// The file.
    pub bytes: Vec<u8>,
    /// Ranges read from all lists, IPv4 and IPv6.
    pub ranges: [u64; 2],
    /// Ranges left out, by a code that is no country.
    pub left_out: BTreeMap<String, u64>,
    /// Different countries.
    pub countries: usize,
    /// Networks with a country.
    pub networks: u64,
    /// Nodes of the tree.
    pub nodes: usize,
    /// When the lists say they were made, seconds since 1970; the latest of them, 0 if none does.
    pub build_epoch: u64,
}

/// Why no database can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A line that is no range.
    #[error("{name}:{line}: {why}")]
    Line {
        /// In which file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Nothing to write.
    #[error("no range with a country in {names}")]
    Empty {
        /// The files.
        names: String,
    },
    /// More than the format can hold with records of 24 bits.
    #[error("the ranges need more than {NODES_MAX} nodes: more than a country database can have")]
    TooMany,
}

/// Makes the database of all `lists`.
///
/// # Errors
/// The first mistake, with file and line.
pub fn build(lists: &[List<'_>]) -> Result<Built, BuildError> {
    let mut reading = Reading::default();
    for (number, list) in lists.iter().enumerate() {
        for (at, line) in list.text.lines().enumerate() {
            reading.take(line, Line { list: number, line: at + 1 }).map_err(|why| error_at(list.name, at + 1, why))?;
        }
    }
    reading.rows.sort_by_key(|row| row.start);
    for pair in reading.rows.windows(2) {
        if pair[0].end >= pair[1].start {
            let [first, second] = [pair[0].from, pair[1].from];
            let why = format!("the range begins inside that of {}:{}", lists[first.list].name, first.line);
            return Err(error_at(lists[second.list].name, second.line, why));
        }
    }
    let present: BTreeSet<Country> = reading.rows.iter().map(|row| row.country).collect();
    let countries: Vec<Country> = present.into_iter().collect();
    if countries.is_empty() {
        let names: Vec<&str> = lists.iter().map(|list| list.name).collect();
        return Err(BuildError::Empty { names: names.join(", ") });
    }
    let tree = Tree::of(&reading.rows, &countries)?;
    let [_, networks] = tree.networks_of(tree.root());
    Ok(Built {
        bytes: written(&tree, &countries, &reading),
        ranges: reading.ranges,
        left_out: reading.left_out,
        countries: countries.len(),
        networks,
        nodes: tree.nodes.len(),
        build_epoch: reading.made,
    })
}

/// `bytes` compressed by gzip, without name or time: the same bytes give the same file.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    writer.finish()
}

fn error_at(name: &str, line: usize, why: String) -> BuildError {
    BuildError::Line { name: name.to_owned(), line, why }
}

/// Where a range was written.
#[derive(Clone, Copy, Debug)]
struct Line {
    list: usize,
    line: usize,
}

/// A range of one country; IPv4 stands in ::/96.
#[derive(Debug)]
struct Row {
    start: u128,
    end: u128,
    country: Country,
    from: Line,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    rows: Vec<Row>,
    ranges: [u64; 2],
    left_out: BTreeMap<String, u64>,
    made: u64,
    vendor: Option<String>,
    licence: Option<String>,
    known: Countries,
}

impl Reading {
    fn take(&mut self, line: &str, from: Line) -> Result<(), String> {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            return self.take_comment(comment.trim());
        }
        if line.is_empty() {
            return Ok(());
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [start, end, code] = fields[..] else {
            return Err(format!("{line:?} is no range: it should read START,END,COUNTRY"));
        };
        let (family, start, end) = range(start, end)?;
        self.ranges[family] += 1;
        let is_code = code == "??" || (code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if !is_code {
            return Err(format!("{code:?} is no code of two letters"));
        }
        match Country::parse(present_code(code)).filter(|country| self.known.place(*country).is_some()) {
            None => *self.left_out.entry(code.to_owned()).or_default() += 1,
            Some(_) if family == 1 && start <= u128::from(u32::MAX) => {
                return Err("::/96 stands for IPv4 in the database and can have no country of its own".to_owned());
            }
            Some(country) => self.rows.push(Row { start, end, country, from }),
        }
        Ok(())
    }

    fn take_comment(&mut self, comment: &str) -> Result<(), String> {
        match comment.split_once(':').map(|(key, value)| (key, value.trim())) {
            Some(("Generated", date)) => {
                let date = httpdate::parse_http_date(date).map_err(|_| format!("{date:?} is no date"))?;
                let date = date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                self.made = self.made.max(date);
            }
            Some(("Vendor", vendor)) => _ = self.vendor.get_or_insert_with(|| vendor.to_owned()),
            Some(("License", licence)) => _ = self.licence.get_or_insert_with(|| licence.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// What the database says of itself: with the attribution that its data asks for.
    fn description(&self) -> String {
        let parts: Vec<&str> = [&self.vendor, &self.licence].into_iter().flatten().map(String::as_str).collect();
        match parts[..] {
            [] => "Countries of networks".to_owned(),
            _ => format!("Countries of networks. Data: {}", parts.join(", ")),
        }
    }
}

/// The family (0: IPv4, 1: IPv6), first and last address of a range.
fn range(start: &str, end: &str) -> Result<(usize, u128, u128), String> {
    let (family, first, last) = if start.contains(':') {
        let parse = |text: &str| {
            text.parse::<Ipv6Addr>().map(Ipv6Addr::to_bits).map_err(|_| format!("{text:?} is no IPv6 address"))
        };
        (1, parse(start)?, parse(end)?)
    } else {
        let parse = |text: &str| {
            let number = text.parse::<u32>().or_else(|_| text.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits));
            number.map(u128::from).map_err(|_| format!("{text:?} is no IPv4 address, neither as a number nor dotted"))
        };
        (0, parse(start)?, parse(end)?)
    };
    if first > last {
        return Err(format!("the range ends at {end:?}, before its start {start:?}"));
    }
    Ok((family, first, last))
}

/// Registries still write codes of countries that have another one today.
fn present_code(code: &str) -> &str {
    match code {
        "UK" => "GB",
        "CS" => "RS", // Serbia and Montenegro: nine of ten people in Serbia
        "AN" => "CW", // the Netherlands Antilles: most people on Curaçao
        code => code,
    }
}

/// No network here.
const EMPTY: u32 = u32::MAX;
/// Countries count down from here, nodes count up from 0.
const FIRST_COUNTRY: u32 = u32::MAX - 1;

/// The tree of all networks, children before parents: the root is last.
struct Tree<'a> {
    countries: &'a [Country],
    nodes: Vec<[u32; 2]>,
    /// Of each node: all networks beneath, and those with a country.
    networks: Vec<[u64; 2]>,
    /// Where equal nodes already stand; `None` to write every node by itself.
    shared: Option<HashMap<[u32; 2], u32>>,
}

impl<'a> Tree<'a> {
    /// Shares what is equal, unless so much is equal that readers would doubt the tree.
    fn of(rows: &[Row], countries: &'a [Country]) -> Result<Self, BuildError> {
        let shared = Self::grown(rows, countries, Some(HashMap::new()))?;
        let [all, _] = shared.networks_of(shared.root());
        if all <= NETWORKS_PER_NODE_MAX * shared.nodes.len() as u64 {
            return Ok(shared);
        }
        Self::grown(rows, countries, None)
    }

    fn grown(
        rows: &[Row],
        countries: &'a [Country],
        shared: Option<HashMap<[u32; 2], u32>>,
    ) -> Result<Self, BuildError> {
        let mut tree = Self { countries, nodes: Vec::new(), networks: Vec::new(), shared };
        let root = tree.grow(rows, 0, 128)?;
        if tree.nodes.is_empty() {
            tree.push([root, root])?; // one country has everything, and still a tree needs a node
        }
        Ok(tree)
    }

    fn root(&self) -> u32 {
        u32::try_from(self.nodes.len() - 1).expect("at most NODES_MAX nodes")
    }

    /// The node or leaf for the 2^`bits` addresses from `start`; `rows` are those that reach into them.
    fn grow(&mut self, rows: &[Row], start: u128, bits: u32) -> Result<u32, BuildError> {
        let last = start | 1_u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
        match rows {
            [] => return Ok(EMPTY),
            [row] if row.start <= start && last <= row.end => return Ok(self.leaf(row.country)),
            _ => {}
        }
        let middle = start + (1 << (bits - 1));
        let left = rows.partition_point(|row| row.start < middle);
        let right = rows.partition_point(|row| row.end < middle);
        let children = [self.grow(&rows[..left], start, bits - 1)?, self.grow(&rows[right..], middle, bits - 1)?];
        let is_one_network = children[0] == children[1] && !self.is_node(children[0]);
        if is_one_network { Ok(children[0]) } else { self.push(children) }
    }

    fn push(&mut self, children: [u32; 2]) -> Result<u32, BuildError> {
        if let Some(node) = self.shared.as_ref().and_then(|shared| shared.get(&children)) {
            return Ok(*node);
        }
        if self.nodes.len() == NODES_MAX {
            return Err(BuildError::TooMany);
        }
        let node = u32::try_from(self.nodes.len()).expect("at most NODES_MAX nodes");
        let [left, right] = children.map(|child| self.networks_of(child));
        self.networks.push([left[0].saturating_add(right[0]), left[1].saturating_add(right[1])]);
        self.nodes.push(children);
        if let Some(shared) = &mut self.shared {
            shared.insert(children, node);
        }
        Ok(node)
    }

    fn leaf(&self, country: Country) -> u32 {
        let at = self.countries.binary_search(&country).expect("countries are those of the rows");
        FIRST_COUNTRY - u32::try_from(at).expect("a few hundred countries")
    }

    fn is_node(&self, child: u32) -> bool {
        (child as usize) < self.nodes.len()
    }

    fn networks_of(&self, child: u32) -> [u64; 2] {
        match self.networks.get(child as usize) {
            Some(networks) => *networks,
            None if child == EMPTY => [1, 0],
            None => [1, 1],
        }
    }

    /// What stands in a node's record for `child`: a node's number (the root is 0), the number of nodes for nothing, or
    /// behind that a place in the data.
    fn record(&self, child: u32, offsets: &[usize]) -> usize {
        if self.is_node(child) {
            self.nodes.len() - 1 - child as usize
        } else if child == EMPTY {
            self.nodes.len()
        } else {
            self.nodes.len() + SEPARATOR.len() + offsets[(FIRST_COUNTRY - child) as usize]
        }
    }
}

fn written(tree: &Tree<'_>, countries: &[Country], reading: &Reading) -> Vec<u8> {
    let mut data = Vec::new();
    let mut offsets = Vec::with_capacity(countries.len());
    for country in countries {
        offsets.push(data.len());
        map(&mut data, 1);
        text(&mut data, "country");
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, country.as_str());
    }
    let mut file = Vec::with_capacity(tree.nodes.len() * 6 + data.len() + 512);
    for child in tree.nodes.iter().rev().flatten() {
        let record = u32::try_from(tree.record(*child, &offsets)).expect("below 2^24, or it is no database");
        file.extend_from_slice(&record.to_be_bytes()[1..]);
    }
    file.extend_from_slice(&SEPARATOR);
    file.extend_from_slice(&data);
    file.extend_from_slice(METADATA_MARK);
    map(&mut file, 9);
    for (key, value) in [("binary_format_major_version", 2), ("binary_format_minor_version", 0)] {
        text(&mut file, key);
        number(&mut file, Kind::U16, value);
    }
    text(&mut file, "build_epoch");
    number(&mut file, Kind::U64, reading.made);
    text(&mut file, "database_type");
    text(&mut file, "anyfront-Country");
    text(&mut file, "description");
    map(&mut file, 1);
    text(&mut file, "en");
    text(&mut file, &reading.description());
    text(&mut file, "ip_version");
    number(&mut file, Kind::U16, 6);
    text(&mut file, "languages");
    control(&mut file, Kind::Array, 1);
    text(&mut file, "en");
    text(&mut file, "node_count");
    number(&mut file, Kind::U32, tree.nodes.len() as u64);
    text(&mut file, "record_size");
    number(&mut file, Kind::U16, 24);
    file
}

/// The format's types that are needed here.
#[derive(Clone, Copy)]
enum Kind {
    Text = 2,
    U16 = 5,
    U32 = 6,
    Map = 7,
    U64 = 9,
    Array = 11,
}

/// The octets that open a value: its type, and its size in octets or elements.
fn control(out: &mut Vec<u8>, kind: Kind, size: usize) {
    let (short, extra) = match size {
        0..29 => (size as u8, &[][..]),
        29..285 => (29, &[(size - 29) as u8][..]),
        _ => (30, &u16::try_from(size - 285).expect("texts are cut before that").to_be_bytes()[..]),
    };
    match kind as u8 {
        kind @ ..=7 => out.push(kind << 5 | short),
        kind => out.extend_from_slice(&[short, kind - 7]),
    }
    out.extend_from_slice(extra);
}

fn map(out: &mut Vec<u8>, entries: usize) {
    control(out, Kind::Map, entries);
}

fn text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(1_000)];
    control(out, Kind::Text, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, kind: Kind, number: u64) {
    let octets = number.to_be_bytes();
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    control(out, kind, octets.len() - zeros);
    out.extend_from_slice(&octets[zeros..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(text: &str) -> Result<Built, BuildError> {
        build(&[List { name: "list", text }])
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, mistake) in [
            ("1,2", r#"list:1: "1,2" is no range: it should read START,END,COUNTRY"#),
            ("# fine\n\n1,2,GB\n5,x,GB", r#"list:4: "x" is no IPv4 address, neither as a number nor dotted"#),
            ("4294967296,4294967297,GB", r#"list:1: "4294967296" is no IPv4 address, neither as a number nor dotted"#),
            ("2001::,7,GB", r#"list:1: "7" is no IPv6 address"#),
            ("9,8,GB", r#"list:1: the range ends at "8", before its start "9""#),
            ("1,2,GBR", r#"list:1: "GBR" is no code of two letters"#),
            ("1,5,GB\n5,6,FR", "list:2: the range begins inside that of list:1"),
            ("5,9,GB\n1,5,FR", "list:1: the range begins inside that of list:2"),
            ("::1,::2,GB", "list:1: ::/96 stands for IPv4 in the database and can have no country of its own"),
            ("# Generated: yesterday", r#"list:1: "yesterday" is no date"#),
            ("1,2,??\n3,4,EU", "no range with a country in list"),
        ] {
            let error = built(text).expect_err(text).to_string();
            assert_eq!(error, mistake, "{text}");
        }
    }

    #[test]
    fn neighbours_are_merged_and_what_is_no_country_is_left_out() {
        let built = built("0,99,GB\n100,255,UK\n256,511,EU\n512,767,??\n768,1023,A1\n2001:db8::,2001:db8::ffff,FR");
        let built = built.expect("good ranges");
        assert_eq!((built.ranges, built.countries, built.networks), ([5, 1], 2, 2));
        let left_out: Vec<_> = built.left_out.iter().map(|(code, count)| (code.as_str(), *count)).collect();
        assert_eq!(left_out, [("??", 1), ("A1", 1), ("EU", 1)]);
    }

    #[test]
    fn one_country_may_have_everything() {
        let text = "0.0.0.0,255.255.255.255,GB\n::1:0:0,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,GB";
        assert_eq!(built(text).expect("good ranges").nodes, 1);
    }

    #[test]
    fn a_tree_that_is_all_alike_is_not_shared_beyond_what_readers_believe() {
        let lines: Vec<String> = (0..4_096_u32).map(|at| format!("{},{},GB", at * 512, at * 512 + 255)).collect();
        let built = built(&lines.join("\n")).expect("good ranges");
        assert!(built.nodes > 4_096, "{} nodes", built.nodes);
        maxminddb::Reader::from_source(built.bytes).expect("a database").verify().expect("a good one");
    }
}
