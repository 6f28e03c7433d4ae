//! What a database in MaxMind's format says of one network: the few fields that tell a place, in the layouts that are
//! about (MaxMind, DB-IP and IP2Location nest them, IPinfo writes them flat and as text). Borrows from the database.

use super::countries::Countries;
use super::place::{Coordinates, Country, Place};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The fields of a record that tell a place. What has another type than expected counts as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    /// A map with `iso_code`, or the code itself (or, beside `country_code`, the country's name).
    #[serde(borrow)]
    country: Field<'a, Coded<'a>>,
    #[serde(borrow)]
    country_code: Field<'a, IgnoredAny>,
    #[serde(borrow)]
    location: Field<'a, Point>,
    #[serde(alias = "lat")]
    latitude: Degrees,
    #[serde(alias = "lng")]
    longitude: Degrees,
    /// A map with `names`, or the name itself.
    #[serde(borrow)]
    city: Field<'a, Named<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coded<'a> {
    #[serde(borrow)]
    iso_code: Field<'a, IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    names: Field<'a, English<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct English<'a> {
    #[serde(borrow)]
    en: Field<'a, IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Point {
    latitude: Degrees,
    longitude: Degrees,
}

impl Record<'_> {
    /// The place that the record tells: its own point, or else its country's.
    #[must_use]
    pub fn place(&self, countries: &Countries) -> Option<Place> {
        let of_country = self.country().and_then(|country| countries.place(country));
        match self.at() {
            Some(at) => Some(Place {
                at,
                country: of_country.and_then(|place| place.country),
                city: self.city().map(Arc::from),
            }),
            None => of_country.cloned(),
        }
    }

    fn country(&self) -> Option<Country> {
        let nested = self.country.map().and_then(|country| country.iso_code.text());
        [nested, self.country.text(), self.country_code.text()].into_iter().flatten().find_map(Country::parse)
    }

    fn city(&self) -> Option<&str> {
        let nested = self.city.map().and_then(|city| city.names.map()).and_then(|names| names.en.text());
        nested.or_else(|| self.city.text()).filter(|name| !name.is_empty())
    }

    /// The point. Several databases write 0, 0 where they know none: nobody lives there.
    fn at(&self) -> Option<Coordinates> {
        let nested = self.location.map().and_then(|point| Some((point.latitude.0?, point.longitude.0?)));
        let (latitude, longitude) = nested.or_else(|| Some((self.latitude.0?, self.longitude.0?)))?;
        Coordinates::new(latitude, longitude).filter(|_| (latitude, longitude) != (0.0, 0.0))
    }
}

/// A text, a map with what is wanted, or anything else, which is as good as nothing.
#[derive(Debug, Default)]
enum Field<'a, Map> {
    #[default]
    Absent,
    Text(&'a str),
    Map(Map),
}

impl<'a, Map> Field<'a, Map> {
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a, Map: Deserialize<'de>> Deserialize<'de> for Field<'a, Map> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<'a, Map>(PhantomData<(&'a (), Map)>);

impl<'de: 'a, 'a, Map: Deserialize<'de>> Visitor<'de> for FieldVisitor<'a, Map> {
    type Value = Field<'a, Map>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a map")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Map::deserialize(MapAccessDeserializer::new(map)).map(Field::Map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Absent)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }
}

/// Degrees as a number or as text; `None` if they are neither.
#[derive(Debug, Default)]
struct Degrees(Option<f64>);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DegreesVisitor)
    }
}

struct DegreesVisitor;

impl<'de> Visitor<'de> for DegreesVisitor {
    type Value = Degrees;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("degrees")
    }

    fn visit_f64<E: de::Error>(self, degrees: f64) -> Result<Degrees, E> {
        Ok(Degrees(Some(degrees)))
    }

    fn visit_i64<E: de::Error>(self, degrees: i64) -> Result<Degrees, E> {
        Ok(Degrees(i16::try_from(degrees).ok().map(f64::from)))
    }

    fn visit_u64<E: de::Error>(self, degrees: u64) -> Result<Degrees, E> {
        Ok(Degrees(u16::try_from(degrees).ok().map(f64::from)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Degrees, E> {
        Ok(Degrees(text.trim().parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(json: &str) -> Option<Place> {
        serde_json::from_str::<Record<'_>>(json).expect("a record").place(&Countries::new())
    }

    fn told(json: &str) -> Option<(f64, f64, String)> {
        place(json).map(|place| (place.at.latitude(), place.at.longitude(), place.to_string()))
    }

    #[test]
    fn all_layouts_tell_the_same() {
        let boxford = Some((51.75, -1.25, "Boxford, GB".to_owned()));
        for json in [
            r#"{"city":{"geoname_id":1,"names":{"de":"Kastenfurt","en":"Boxford"}},"country":{"is_in_european_union":false,
                "iso_code":"GB","names":{"en":"United Kingdom"}},"location":{"latitude":51.75,"longitude":-1.25}}"#,
            r#"{"city":"Boxford","country":"GB","lat":"51.75","lng":"-1.25","postal_code":"OX1"}"#,
            r#"{"city":"Boxford","country":"United Kingdom","country_code":"GB","latitude":51.75,"longitude":-1.25}"#,
        ] {
            assert_eq!(told(json), boxford, "{json}");
        }
    }

    #[test]
    fn a_country_without_a_location_stands_at_its_point() {
        let london = Some((51.51, -0.13, "GB".to_owned()));
        for json in [
            r#"{"country":{"iso_code":"GB"}}"#,
            r#"{"country":"gb"}"#,
            r#"{"country":{"iso_code":"GB"},"city":{"names":{"en":"Boxford"}}}"#,
            r#"{"country":{"iso_code":"GB"},"location":{"latitude":0,"longitude":0}}"#,
            r#"{"country":{"iso_code":"GB"},"location":{"latitude":91.0,"longitude":0.5}}"#,
            r#"{"country":{"iso_code":"GB"},"location":{"latitude":51.75}}"#,
            r#"{"country":{"iso_code":"GB"},"location":[1,2],"city":7,"lat":"north"}"#,
        ] {
            assert_eq!(told(json), london, "{json}");
        }
    }

    #[test]
    fn nothing_told_is_nowhere() {
        for json in
            ["{}", r#"{"country":{"iso_code":"EU"}}"#, r#"{"country":12}"#, r#"{"autonomous_system_number":64512}"#]
        {
            assert_eq!(place(json), None, "{json}");
        }
    }

    #[test]
    fn a_location_without_a_country_is_a_place() {
        let told = told(r#"{"city":"","country":"EU","location":{"latitude":1.0,"longitude":2}}"#);
        assert_eq!(told, Some((1.0, 2.0, "1.00, 2.00".to_owned())));
    }
}
