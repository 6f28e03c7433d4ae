//! Where a country's clients are taken to be when nothing more is known: one point for each country.
//!
//! A point stands where the people are, not in the middle of the land: the main city, or the centre of population where
//! a country is wide and its people are spread. A fact table of our own; it knows nothing of addresses.
//!
//! One point cannot be right for a wide country. With country data all clients of the United States stand in Missouri,
//! about 650 km from Dallas, 1 320 km from Virginia and 2 630 km from San Francisco: all of them go to Dallas first. A
//! city database mends that; `geoip/README.md` says more.

use super::place::{Coordinates, Country, Place};

/// Codes of two letters there can be.
const CODES: usize = 26 * 26;

/// The places of all countries, made once and then only copied.
#[derive(Debug)]
pub struct Countries {
    places: Vec<Option<Place>>,
}

impl Countries {
    /// Computes the places of [`POINTS`].
    #[must_use]
    pub fn new() -> Self {
        let mut places = vec![None; CODES];
        for (code, latitude, longitude) in POINTS {
            let country = Country::parse(code).expect("POINTS has codes of two letters");
            let at = Coordinates::new(latitude, longitude).expect("POINTS are on earth");
            places[index_of(country)] = Some(Place { at, country: Some(country), city: None });
        }
        Self { places }
    }

    /// Where clients of `country` are taken to be; `None` for a code that is no country (`EU`, `A1`, `ZZ`).
    #[must_use]
    pub fn place(&self, country: Country) -> Option<&Place> {
        self.places[index_of(country)].as_ref()
    }
}

impl Default for Countries {
    fn default() -> Self {
        Self::new()
    }
}

fn index_of(country: Country) -> usize {
    country.as_str().bytes().fold(0, |index, letter| index * 26 + usize::from(letter - b'A'))
}

/// Every country of ISO 3166-1, and Kosovo by the code that databases use: degrees north and east.
#[rustfmt::skip]
pub const POINTS: [(&str, f64, f64); 250] = [
    ("AD", 42.51, 1.52),     // Andorra la Vella
    ("AE", 25.20, 55.27),    // Dubai
    ("AF", 34.53, 69.17),    // Kabul
    ("AG", 17.12, -61.85),   // Saint John's
    ("AI", 18.22, -63.06),   // The Valley
    ("AL", 41.33, 19.82),    // Tirana
    ("AM", 40.18, 44.51),    // Yerevan
    ("AO", -8.84, 13.23),    // Luanda
    ("AQ", -77.85, 166.67),  // McMurdo Station
    ("AR", -34.60, -58.38),  // Buenos Aires
    ("AS", -14.28, -170.70), // Pago Pago
    ("AT", 48.21, 16.37),    // Vienna
    ("AU", -33.87, 151.21),  // Sydney: most people live in the south-east, Melbourne's 700 km away
    ("AW", 12.52, -70.03),   // Oranjestad
    ("AX", 60.10, 19.93),    // Mariehamn
    ("AZ", 40.41, 49.87),    // Baku
    ("BA", 43.86, 18.41),    // Sarajevo
    ("BB", 13.10, -59.62),   // Bridgetown
    ("BD", 23.81, 90.41),    // Dhaka
    ("BE", 50.85, 4.35),     // Brussels
    ("BF", 12.37, -1.52),    // Ouagadougou
    ("BG", 42.70, 23.32),    // Sofia
    ("BH", 26.23, 50.59),    // Manama
    ("BI", -3.38, 29.36),    // Bujumbura
    ("BJ", 6.37, 2.39),      // Cotonou
    ("BL", 17.90, -62.85),   // Gustavia
    ("BM", 32.29, -64.78),   // Hamilton
    ("BN", 4.90, 114.94),    // Bandar Seri Begawan
    ("BO", -17.78, -63.18),  // Santa Cruz de la Sierra
    ("BQ", 12.15, -68.27),   // Kralendijk
    ("BR", -23.55, -46.63),  // São Paulo: the centre of the south and east, where most people are
    ("BS", 25.05, -77.35),   // Nassau
    ("BT", 27.47, 89.64),    // Thimphu
    ("BV", -54.42, 3.36),    // Bouvet Island, nobody
    ("BW", -24.65, 25.91),   // Gaborone
    ("BY", 53.90, 27.57),    // Minsk
    ("BZ", 17.50, -88.20),   // Belize City
    ("CA", 43.65, -79.38),   // Toronto: the corridor from Windsor to Quebec has half of the people
    ("CC", -12.16, 96.82),   // West Island
    ("CD", -4.32, 15.31),    // Kinshasa
    ("CF", 4.36, 18.56),     // Bangui
    ("CG", -4.27, 15.28),    // Brazzaville
    ("CH", 47.38, 8.54),     // Zurich
    ("CI", 5.35, -4.02),     // Abidjan
    ("CK", -21.21, -159.78), // Avarua
    ("CL", -33.45, -70.67),  // Santiago
    ("CM", 4.05, 9.70),      // Douala
    ("CN", 32.00, 113.50),   // southern Henan: the centre of population
    ("CO", 4.71, -74.07),    // Bogotá
    ("CR", 9.93, -84.08),    // San José
    ("CU", 23.11, -82.37),   // Havana
    ("CV", 14.92, -23.51),   // Praia
    ("CW", 12.11, -68.93),   // Willemstad
    ("CX", -10.42, 105.68),  // Flying Fish Cove
    ("CY", 35.17, 33.36),    // Nicosia
    ("CZ", 50.08, 14.44),    // Prague
    ("DE", 50.60, 9.40),     // northern Hesse: no city leads, this is the middle of them
    ("DJ", 11.59, 43.15),    // Djibouti
    ("DK", 55.68, 12.57),    // Copenhagen
    ("DM", 15.30, -61.39),   // Roseau
    ("DO", 18.49, -69.93),   // Santo Domingo
    ("DZ", 36.75, 3.06),     // Algiers
    ("EC", -2.19, -79.89),   // Guayaquil
    ("EE", 59.44, 24.75),    // Tallinn
    ("EG", 30.04, 31.24),    // Cairo
    ("EH", 27.15, -13.20),   // Laayoune
    ("ER", 15.32, 38.93),    // Asmara
    ("ES", 40.42, -3.70),    // Madrid
    ("ET", 9.03, 38.74),     // Addis Ababa
    ("FI", 60.17, 24.94),    // Helsinki
    ("FJ", -18.14, 178.44),  // Suva
    ("FK", -51.70, -57.85),  // Stanley
    ("FM", 6.96, 158.21),    // Kolonia
    ("FO", 62.01, -6.77),    // Tórshavn
    ("FR", 48.86, 2.35),     // Paris
    ("GA", 0.39, 9.45),      // Libreville
    ("GB", 51.51, -0.13),    // London
    ("GD", 12.05, -61.75),   // Saint George's
    ("GE", 41.72, 44.79),    // Tbilisi
    ("GF", 4.92, -52.31),    // Cayenne
    ("GG", 49.46, -2.54),    // Saint Peter Port
    ("GH", 5.56, -0.20),     // Accra
    ("GI", 36.14, -5.35),    // Gibraltar
    ("GL", 64.18, -51.72),   // Nuuk
    ("GM", 13.44, -16.68),   // Serekunda
    ("GN", 9.54, -13.68),    // Conakry
    ("GP", 16.24, -61.53),   // Pointe-à-Pitre
    ("GQ", 3.75, 8.78),      // Malabo
    ("GR", 37.98, 23.73),    // Athens
    ("GS", -54.28, -36.51),  // Grytviken
    ("GT", 14.63, -90.51),   // Guatemala City
    ("GU", 13.48, 144.75),   // Hagåtña
    ("GW", 11.86, -15.60),   // Bissau
    ("GY", 6.80, -58.16),    // Georgetown
    ("HK", 22.32, 114.17),   // Kowloon
    ("HM", -53.10, 73.51),   // Heard Island, nobody
    ("HN", 14.07, -87.19),   // Tegucigalpa
    ("HR", 45.81, 15.98),    // Zagreb
    ("HT", 18.54, -72.34),   // Port-au-Prince
    ("HU", 47.50, 19.04),    // Budapest
    ("ID", -6.21, 106.85),   // Jakarta
    ("IE", 53.35, -6.26),    // Dublin
    ("IL", 32.08, 34.78),    // Tel Aviv
    ("IM", 54.15, -4.48),    // Douglas
    ("IN", 22.50, 79.50),    // southern Madhya Pradesh: the centre of population
    ("IO", -7.31, 72.41),    // Diego Garcia
    ("IQ", 33.31, 44.37),    // Baghdad
    ("IR", 35.69, 51.39),    // Tehran
    ("IS", 64.15, -21.94),   // Reykjavík
    ("IT", 43.50, 11.70),    // Tuscany: between Milan, Rome and Naples
    ("JE", 49.19, -2.11),    // Saint Helier
    ("JM", 17.97, -76.79),   // Kingston
    ("JO", 31.95, 35.93),    // Amman
    ("JP", 35.68, 139.69),   // Tokyo
    ("KE", -1.29, 36.82),    // Nairobi
    ("KG", 42.87, 74.59),    // Bishkek
    ("KH", 11.56, 104.92),   // Phnom Penh
    ("KI", 1.33, 172.98),    // South Tarawa
    ("KM", -11.70, 43.26),   // Moroni
    ("KN", 17.30, -62.72),   // Basseterre
    ("KP", 39.02, 125.75),   // Pyongyang
    ("KR", 37.57, 126.98),   // Seoul
    ("KW", 29.38, 47.99),    // Kuwait City
    ("KY", 19.29, -81.38),   // George Town
    ("KZ", 43.24, 76.89),    // Almaty
    ("LA", 17.97, 102.63),   // Vientiane
    ("LB", 33.89, 35.50),    // Beirut
    ("LC", 14.01, -60.99),   // Castries
    ("LI", 47.14, 9.52),     // Vaduz
    ("LK", 6.93, 79.86),     // Colombo
    ("LR", 6.30, -10.80),    // Monrovia
    ("LS", -29.31, 27.48),   // Maseru
    ("LT", 54.69, 25.28),    // Vilnius
    ("LU", 49.61, 6.13),     // Luxembourg
    ("LV", 56.95, 24.11),    // Riga
    ("LY", 32.89, 13.19),    // Tripoli
    ("MA", 33.57, -7.59),    // Casablanca
    ("MC", 43.74, 7.42),     // Monaco
    ("MD", 47.01, 28.86),    // Chișinău
    ("ME", 42.44, 19.26),    // Podgorica
    ("MF", 18.07, -63.08),   // Marigot
    ("MG", -18.88, 47.51),   // Antananarivo
    ("MH", 7.09, 171.38),    // Majuro
    ("MK", 42.00, 21.43),    // Skopje
    ("ML", 12.64, -8.00),    // Bamako
    ("MM", 16.84, 96.17),    // Yangon
    ("MN", 47.89, 106.91),   // Ulaanbaatar
    ("MO", 22.19, 113.54),   // Macau
    ("MP", 15.19, 145.75),   // Saipan
    ("MQ", 14.61, -61.07),   // Fort-de-France
    ("MR", 18.08, -15.98),   // Nouakchott
    ("MS", 16.79, -62.21),   // Brades
    ("MT", 35.90, 14.51),    // Valletta
    ("MU", -20.16, 57.50),   // Port Louis
    ("MV", 4.18, 73.51),     // Malé
    ("MW", -13.96, 33.77),   // Lilongwe
    ("MX", 19.43, -99.13),   // Mexico City
    ("MY", 3.15, 101.70),    // Kuala Lumpur
    ("MZ", -25.97, 32.57),   // Maputo
    ("NA", -22.56, 17.08),   // Windhoek
    ("NC", -22.27, 166.46),  // Nouméa
    ("NE", 13.51, 2.11),     // Niamey
    ("NF", -29.06, 167.96),  // Kingston
    ("NG", 6.52, 3.38),      // Lagos
    ("NI", 12.11, -86.24),   // Managua
    ("NL", 52.37, 4.90),     // Amsterdam
    ("NO", 59.91, 10.75),    // Oslo
    ("NP", 27.72, 85.32),    // Kathmandu
    ("NR", -0.55, 166.92),   // Yaren
    ("NU", -19.06, -169.92), // Alofi
    ("NZ", -36.85, 174.76),  // Auckland
    ("OM", 23.59, 58.41),    // Muscat
    ("PA", 8.98, -79.52),    // Panama City
    ("PE", -12.05, -77.04),  // Lima
    ("PF", -17.54, -149.57), // Papeete
    ("PG", -9.44, 147.18),   // Port Moresby
    ("PH", 14.60, 120.98),   // Manila
    ("PK", 31.55, 74.34),    // Lahore: the Punjab has more than half of the people
    ("PL", 52.23, 21.01),    // Warsaw
    ("PM", 46.78, -56.18),   // Saint-Pierre
    ("PN", -25.07, -130.10), // Adamstown
    ("PR", 18.47, -66.11),   // San Juan
    ("PS", 31.90, 35.20),    // Ramallah
    ("PT", 38.72, -9.14),    // Lisbon
    ("PW", 7.34, 134.48),    // Koror
    ("PY", -25.26, -57.58),  // Asunción
    ("QA", 25.29, 51.53),    // Doha
    ("RE", -20.88, 55.45),   // Saint-Denis
    ("RO", 44.43, 26.10),    // Bucharest
    ("RS", 44.79, 20.45),    // Belgrade
    ("RU", 55.76, 37.62),    // Moscow: three of four people live west of the Urals
    ("RW", -1.94, 30.06),    // Kigali
    ("SA", 24.71, 46.68),    // Riyadh
    ("SB", -9.43, 159.95),   // Honiara
    ("SC", -4.62, 55.45),    // Victoria
    ("SD", 15.50, 32.56),    // Khartoum
    ("SE", 59.33, 18.07),    // Stockholm
    ("SG", 1.35, 103.82),    // Singapore
    ("SH", -15.92, -5.72),   // Jamestown
    ("SI", 46.06, 14.51),    // Ljubljana
    ("SJ", 78.22, 15.64),    // Longyearbyen
    ("SK", 48.15, 17.11),    // Bratislava
    ("SL", 8.47, -13.23),    // Freetown
    ("SM", 43.94, 12.45),    // San Marino
    ("SN", 14.72, -17.47),   // Dakar
    ("SO", 2.05, 45.32),     // Mogadishu
    ("SR", 5.85, -55.20),    // Paramaribo
    ("SS", 4.86, 31.57),     // Juba
    ("ST", 0.34, 6.73),      // São Tomé
    ("SV", 13.69, -89.22),   // San Salvador
    ("SX", 18.03, -63.05),   // Philipsburg
    ("SY", 33.51, 36.29),    // Damascus
    ("SZ", -26.32, 31.13),   // Mbabane
    ("TC", 21.77, -72.27),   // Providenciales
    ("TD", 12.13, 15.06),    // N'Djamena
    ("TF", -49.35, 70.22),   // Port-aux-Français
    ("TG", 6.13, 1.22),      // Lomé
    ("TH", 13.76, 100.50),   // Bangkok
    ("TJ", 38.56, 68.79),    // Dushanbe
    ("TK", -9.38, -171.22),  // Nukunonu
    ("TL", -8.56, 125.56),   // Dili
    ("TM", 37.96, 58.33),    // Ashgabat
    ("TN", 36.81, 10.18),    // Tunis
    ("TO", -21.14, -175.20), // Nukuʻalofa
    ("TR", 41.01, 28.98),    // Istanbul
    ("TT", 10.66, -61.51),   // Port of Spain
    ("TV", -8.52, 179.20),   // Funafuti
    ("TW", 25.03, 121.57),   // Taipei
    ("TZ", -6.79, 39.21),    // Dar es Salaam
    ("UA", 50.45, 30.52),    // Kyiv
    ("UG", 0.35, 32.58),     // Kampala
    ("UM", 19.28, 166.65),   // Wake Island
    ("US", 37.40, -92.40),   // southern Missouri: the centre of population
    ("UY", -34.90, -56.16),  // Montevideo
    ("UZ", 41.30, 69.24),    // Tashkent
    ("VA", 41.90, 12.45),    // Vatican City
    ("VC", 13.16, -61.22),   // Kingstown
    ("VE", 10.48, -66.90),   // Caracas
    ("VG", 18.43, -64.62),   // Road Town
    ("VI", 18.34, -64.93),   // Charlotte Amalie
    ("VN", 10.82, 106.63),   // Ho Chi Minh City
    ("VU", -17.73, 168.32),  // Port Vila
    ("WF", -13.28, -176.18), // Mata-Utu
    ("WS", -13.83, -171.76), // Apia
    ("XK", 42.66, 21.17),    // Pristina
    ("YE", 15.37, 44.19),    // Sana'a
    ("YT", -12.78, 45.23),   // Mamoudzou
    ("ZA", -26.20, 28.05),   // Johannesburg
    ("ZM", -15.39, 28.32),   // Lusaka
    ("ZW", -17.83, 31.05),   // Harare
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_one_point() {
        assert!(POINTS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, and none twice");
        let countries = Countries::new();
        for (code, latitude, longitude) in POINTS {
            let country = Country::parse(code).expect("a code");
            let place = countries.place(country).expect("a point");
            assert_eq!((place.at.latitude(), place.at.longitude()), (latitude, longitude), "{code}");
            assert_eq!(place.country, Some(country));
        }
    }

    #[test]
    fn what_is_no_country_has_no_point() {
        let countries = Countries::new();
        for code in ["EU", "AP", "ZZ", "UK", "AN"] {
            assert_eq!(countries.place(Country::parse(code).expect("two letters")), None, "{code}");
        }
    }

    #[test]
    fn clients_of_the_united_states_are_nearest_to_dallas() {
        let at = |latitude, longitude| Coordinates::new(latitude, longitude).expect("on earth");
        let from = Countries::new().place(Country::parse("US").expect("a code")).expect("a point").at;
        let [dfw, orf, sfo] =
            [at(32.78, -96.80), at(38.95, -77.45), at(37.77, -122.42)].map(|to| from.distance_km(&to));
        assert!(dfw < orf && orf < sfo, "{dfw} {orf} {sfo}");
    }
}
