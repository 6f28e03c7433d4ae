#!/usr/bin/env python3
"""Makes dots.txt, the land of the map, from land-110m.json: see README.md.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python3 recipe.py package/land-110m.json > dots.txt

A grid of dots in the map's own plane; each is asked whether it lies on land. Runs of dots in a row become one segment each,
which the style draws as dots by dashes of no length.
"""
import json
import math
import sys

# As in ../map.rs.
WIDTH = 1000.0
NORTH, SOUTH = 79.0, -56.0
STEP_X, STEP_Y = 8.0, 6.9


def stretch(phi):
    p2 = phi * phi
    p4 = p2 * p2
    return 0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4))


def rise(phi):
    p2 = phi * phi
    p4 = p2 * p2
    return phi * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)))


SCALE = WIDTH / (2 * math.pi * 0.8707)
TOP = rise(math.radians(NORTH)) * SCALE
HEIGHT = TOP - rise(math.radians(SOUTH)) * SCALE


def place(x, y):
    """The longitude and latitude at a point of the map."""
    wanted = (TOP - y) / SCALE
    low, high = math.radians(SOUTH - 1), math.radians(NORTH + 1)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rise(middle) < wanted else (low, middle)
    return math.degrees((x - WIDTH / 2) / SCALE / stretch(low)), math.degrees(low)


def rings(topology):
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * sx + tx, y * sy + ty))
        arcs.append(points)
    for geometry in topology["objects"]["land"]["geometries"]:
        for polygon in geometry["arcs"]:
            for ring in polygon:
                points = []
                for index in ring:
                    points += arcs[index] if index >= 0 else arcs[~index][::-1]
                yield points


def is_land(rings, x, y):
    inside = False
    for west, south, east, north, ring in rings:
        if not (south <= y <= north and west <= x <= east):
            continue
        x0, y0 = ring[-1]
        for x1, y1 in ring:
            if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                inside = not inside
            x0, y0 = x1, y1
    return inside


def main():
    with open(sys.argv[1]) as file:
        land = list(rings(json.load(file)))
    land = [(min(x for x, _ in r), min(y for _, y in r), max(x for x, _ in r), max(y for _, y in r), r) for r in land]
    path = []
    rows = int(HEIGHT / STEP_Y)
    for row in range(1, rows + 1):
        y = row * STEP_Y
        start = STEP_X / 2 if row % 2 else 0.0
        run = None
        columns = int(WIDTH / STEP_X) + 1
        for column in range(columns + 1):
            x = start + column * STEP_X
            longitude, latitude = place(x, y)
            on_land = column < columns and abs(longitude) <= 180 and is_land(land, longitude, latitude)
            if on_land and run is None:
                run = x
            elif not on_land and run is not None:
                path.append(f"M{run:g} {y:.4g}h{x - STEP_X - run + 0.1:.4g}".replace("h0.1", "h.1"))
                run = None
    print("".join(path))
    print(f"{len(path)} runs, the map is {WIDTH:g} by {HEIGHT:.1f}", file=sys.stderr)


main()
