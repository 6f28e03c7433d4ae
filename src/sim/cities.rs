//! Where clients are: the cities of the world with the people they stand for, and addresses that clients there have.
//!
//! The table is `cities/table.tsv`, made by `cities/recipe.py` from GeoNames (CC BY 4.0; the table's head has the
//! attribution). A city's number is its place in the table. The city is the truth of the simulated world; what a node
//! takes a client to be is another matter and comes from its address, as in the real one.

pub mod addresses;

use super::chance::below;
use crate::geo::place::{Coordinates, Country};
use crate::moment::Dice;

/// The table, most people first: name, country, degrees north, degrees east, people.
const TABLE: &str = include_str!("cities/table.tsv");

/// A city.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct City {
    /// What it is called, in Latin letters.
    pub name: &'static str,
    /// In which country.
    pub country: Country,
    /// Where its middle is, to 0.01 degrees.
    pub at: Coordinates,
    /// People of the country who live nearer to it than to any other city here.
    pub people: u64,
}

/// All cities, most people first.
#[derive(Debug)]
pub struct Cities {
    all: Vec<City>,
    /// For each city the people of it and of all before it.
    people_up_to: Vec<u64>,
}

impl Cities {
    /// Reads the table: once for a run.
    #[must_use]
    pub fn of_the_world() -> Self {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        let all: Vec<City> = rows.map(|row| city(row).expect("a unit test reads every row")).collect();
        let mut people = 0;
        let up_to = |city: &City| {
            people += city.people;
            people
        };
        let people_up_to = all.iter().map(up_to).collect();
        Self { all, people_up_to }
    }

    /// Each of them; the index is the city's number.
    #[must_use]
    pub fn all(&self) -> &[City] {
        &self.all
    }

    /// The people of all cities.
    #[must_use]
    pub fn people(&self) -> u64 {
        self.people_up_to.last().copied().unwrap_or_default()
    }

    /// The number of the city that a person calls so: `Sao Paulo`, `hyderabad, pk`. Letters' case and marks do not matter;
    /// without a country it is the one with the most people.
    #[must_use]
    pub fn named(&self, text: &str) -> Option<usize> {
        let (name, country) = match text.rsplit_once(',') {
            Some((name, code)) => (name, Some(Country::parse(code.trim())?)),
            None => (text, None),
        };
        let wanted = folded(name.trim());
        self.all
            .iter()
            .position(|city| country.is_none_or(|country| country == city.country) && folded(city.name) == wanted)
    }

    /// A city by lot: each as often as it has people.
    #[must_use]
    pub fn drawn(&self, dice: &mut Dice) -> usize {
        let person = below(dice, self.people());
        self.people_up_to.partition_point(|up_to| *up_to <= person)
    }
}

/// A row of the table.
fn city(row: &'static str) -> Option<City> {
    let mut fields = row.split('\t');
    let city = City {
        name: fields.next()?,
        country: Country::parse(fields.next()?)?,
        at: Coordinates::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)?,
        people: fields.next()?.parse().ok()?,
    };
    fields.next().is_none().then_some(city)
}

/// A name in small letters of ASCII, so that it is found however it is typed. Only the letters that the table has.
fn folded(name: &str) -> String {
    let plain = |letter| match letter {
        'á' | 'â' | 'ã' | 'ā' => 'a',
        'é' => 'e',
        'ḩ' => 'h',
        'í' | 'ī' => 'i',
        'ł' => 'l',
        'ó' => 'o',
        'ū' | 'ü' => 'u',
        '\u{2019}' => '\'',
        letter => letter,
    };
    // A capital İ becomes an i and a mark of its own.
    name.chars().flat_map(char::to_lowercase).filter(|letter| *letter != '\u{307}').map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::countries::Countries;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_of_the_table_is_a_city_of_its_own_most_people_first() {
        let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(rows.iter().find(|row| city(row).is_none()), None, "no city");
        let cities = Cities::of_the_world();
        assert!((380..=450).contains(&cities.all().len()), "{}", cities.all().len());
        assert!(cities.all().is_sorted_by_key(|city| std::cmp::Reverse(city.people)));
        let names: BTreeSet<(String, Country)> =
            cities.all().iter().map(|city| (folded(city.name), city.country)).collect();
        assert_eq!(names.len(), cities.all().len(), "two of one name in one country");
        let countries = Countries::new();
        for city in cities.all() {
            assert!((100_000..200_000_000).contains(&city.people), "{city:?}");
            assert!(countries.place(city.country).is_some(), "{city:?} is in no country");
            assert!(folded(city.name).is_ascii() && !city.name.contains(','), "{} cannot be typed", city.name);
        }
        assert!((7_000_000_000..9_000_000_000).contains(&cities.people()), "{}", cities.people());
    }

    #[test]
    fn no_large_country_and_no_continent_is_without_a_city() {
        let cities = Cities::of_the_world();
        let has = |code: &&str| cities.all().iter().any(|city| city.country.as_str() == *code);
        // More than five million people.
        let large = "AE AF AO AR AT AU AZ BD BE BF BG BI BJ BO BR BY CA CD CG CH CI CL CM CN CO CR CU CZ DE DK DO DZ EC \
            EG ER ES ET FI FR GB GH GN GR GT HK HN HT HU ID IE IL IN IQ IR IT JO JP KE KG KH KP KR KZ LA LB LK LR LY MA \
            MG ML MM MW MX MY MZ NE NG NI NL NO NP NZ OM PA PE PG PH PK PL PS PT PY RO RS RU RW SA SD SE SG SK SL SN SO \
            SS SV SY TD TG TH TJ TM TN TR TW TZ UA UG US UZ VE VN YE ZA ZM ZW";
        assert_eq!(large.split_whitespace().find(|code| !has(code)), None);
        assert!(["EG", "JP", "FR", "US", "BR", "AU"].iter().all(has));
    }

    #[test]
    fn a_city_is_found_as_people_type_it() {
        let cities = Cities::of_the_world();
        let found =
            |text: &str| cities.named(text).map(|at| (cities.all()[at].name, cities.all()[at].country.to_string()));
        let is = |name, country: &str| Some((name, country.to_owned()));
        assert_eq!(found("London"), is("London", "GB"));
        assert_eq!(found(" sao paulo "), is("São Paulo", "BR"));
        assert_eq!(found("SÃO PAULO,br"), is("São Paulo", "BR"));
        assert_eq!(found("Xi\u{2019}an"), is("Xi'an", "CN"));
        assert_eq!(found("izmir"), found("İzmir"));
        assert_eq!(found("hyderabad"), is("Hyderabad", "IN"));
        assert_eq!(found("Hyderabad, PK"), is("Hyderabad", "PK"));
        for nothing in ["", "Atlantis", "London, US", "London, Britain", "Lond"] {
            assert_eq!(found(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn cities_are_drawn_as_often_as_they_have_people() {
        let cities = Cities::of_the_world();
        let mut dice = Dice::seeded(1);
        let mut drawn = vec![0_u64; cities.all().len()];
        let draws = 400_000;
        for _ in 0..draws {
            drawn[cities.drawn(&mut dice)] += 1;
        }
        assert_eq!(drawn.iter().position(|times| *times == 0), None, "somebody is never drawn");
        for (city, times) in cities.all().iter().zip(&drawn).take(50) {
            let fair = city.people * draws / cities.people();
            assert!(times.abs_diff(fair) < fair / 5, "{city:?}: {times} instead of {fair}");
        }
        let again: Vec<usize> = (0..20).map(|_| cities.drawn(&mut Dice::seeded(7))).collect();
        assert!(again.iter().all(|city| *city == again[0]), "a seed is a run");
    }
}
