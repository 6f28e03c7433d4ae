//! Places: coordinates, distance, country.

use std::fmt;

/// Mean radius of the earth (IUGG), kilometres.
const EARTH_RADIUS_KM: f64 = 6_371.009;

/// A point on the earth. Keeps its unit vector, so that a distance costs one dot product and one arc cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    latitude: f64,
    longitude: f64,
    unit: [f64; 3],
}

impl Coordinates {
    /// A point from degrees north and east; `None` outside ±90 and ±180 or if not finite.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return None;
        }
        let (phi, lambda) = (latitude.to_radians(), longitude.to_radians());
        Some(Self { latitude, longitude, unit: [phi.cos() * lambda.cos(), phi.cos() * lambda.sin(), phi.sin()] })
    }

    /// Degrees north.
    #[must_use]
    pub fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    #[must_use]
    pub fn longitude(&self) -> f64 {
        self.longitude
    }

    /// Great-circle distance in kilometres, 0 to about 20 015.
    #[must_use]
    pub fn distance_km(&self, other: &Self) -> f64 {
        // The chord keeps its precision for near points, where the arc cosine of the dot product has none.
        let chord = self.unit.iter().zip(&other.unit).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        2.0 * EARTH_RADIUS_KM * (chord / 2.0).min(1.0).asin()
    }
}

/// A country by its ISO 3166-1 code of two letters, upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// A country from two letters in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A place as far as it is known: always a point, perhaps a country and a city.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Where it is.
    pub at: Coordinates,
    /// In which country.
    pub country: Option<Country>,
    /// In or near which city.
    pub city: Option<std::sync::Arc<str>>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.city, self.country) {
            (Some(city), Some(country)) => write!(f, "{city}, {country}"),
            (Some(city), None) => write!(f, "{city}"),
            (None, Some(country)) => write!(f, "{country}"),
            (None, None) => write!(f, "{:.2}, {:.2}", self.at.latitude, self.at.longitude),
        }
    }
}

/// Members of the European Union, for residency written as `EU`.
pub const EUROPEAN_UNION: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
/// What the European Economic Area has besides, for residency written as `EEA`.
pub const EEA_BESIDES_EU: [&str; 3] = ["IS", "LI", "NO"];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::new(latitude, longitude).expect("on earth")
    }

    #[test]
    fn distances_agree_with_the_atlas() {
        let london = at(51.5, -0.12);
        assert_eq!(london.distance_km(&london), 0.0);
        for (other, km) in [(at(40.71, -74.01), 5_570.0), (at(-33.87, 151.21), 16_994.0), (at(48.86, 2.35), 342.2)] {
            let measured = london.distance_km(&other);
            assert!((measured - km).abs() < km * 0.005, "{measured} instead of {km}");
        }
        let half_way = at(0.0, 0.0).distance_km(&at(0.0, 180.0));
        assert!((half_way - 20_015.0).abs() < 1.0, "{half_way}");
    }

    #[test]
    fn no_place_off_the_earth() {
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Coordinates::new(latitude, longitude), None);
        }
    }
}
