"""Painters of the sample gallery: print and things on tables, walls and shelves.

Each takes a Kit and the texts and colours of one scene, and returns the painted picture with its words.
"""

import numpy as np
from PIL import Image

from model.training import textures
from model.training.lettering import Color, Shadow, Sheet, rectangle
from model.training.scenery import (
    BLACK,
    BRICK,
    BROWN,
    CREAM,
    GREY,
    OAK,
    SAND,
    SOFT,
    WHITE,
    YELLOW,
    Kit,
    Line,
    bars,
    cylinder,
    lighter,
    pose,
)


def poster(kit: Kit, lines: list[Line], ground: Color, art: str, wall: str) -> Sheet:
    """A poster taped to a wall: a picture above, lines below, the first of them the biggest."""
    surface, color = {
        "brick": (textures.bricks, BRICK),
        "plaster": (textures.plaster, SAND),
        "hoarding": (textures.planks, OAK),
    }[wall]
    stage = kit.stage(surface, color)
    w, h = min(kit.width * 0.74, kit.height * 0.66), kit.height * 0.9
    page = kit.panel(w, h, textures.paper, ground)
    {"sun": _sun, "skyline": _skyline, "circles": _circles, "waves": _waves}[art](kit, page, lines[0][2])
    top = h * 0.5
    for row, (text, look, ink) in enumerate(lines):
        size = h * (0.17 if row == 0 else 0.075)
        top += size * (1.0 if row == 0 else 1.3)
        kit.line(page, text, w / 2, top, look, ink, size, w * 0.88)
    page.veil(rectangle(w * 0.497, 0, w * 0.503, h), WHITE, 0.25)
    page.veil(rectangle(0, h * 0.478, w, h * 0.482), BLACK, 0.15)
    quad = pose(kit.width / 2, kit.height / 2, w, h, kit.rng.uniform(-24, 24), 0, kit.rng.uniform(-4, 4))
    stage.mount(page, quad, SOFT)
    for x, y in quad[:2]:
        tape = Sheet(130, 46, (226, 214, 170))
        tape.image.putalpha(190)
        stage.mount(tape, pose(x, y + 14, 130, 46, roll=kit.rng.uniform(-50, 50)), Shadow(2, 3, 3, 0.3))
    return stage


def _sun(kit: Kit, page: Sheet, ink: Color) -> None:
    w, h = page.image.size
    for ray in np.arange(0, 360, 20):
        edges = np.radians([ray, ray + 10])
        tips = np.c_[w / 2 + np.cos(edges) * w, h * 0.3 + np.sin(edges) * h * 0.4]
        page.veil([(w / 2, h * 0.3), *np.clip(tips, (0, 0), (w, h * 0.48))], lighter(ink, 40), 0.35)
    page.draw.ellipse((w * 0.3, h * 0.17, w * 0.7, h * 0.17 + w * 0.4), fill=(*ink, 255))
    page.draw.ellipse((w * 0.36, h * 0.2, w * 0.64, h * 0.2 + w * 0.28), fill=(*lighter(ink, 70), 255))


def _skyline(kit: Kit, page: Sheet, ink: Color) -> None:
    w, h = page.image.size
    x = 0.06 * w
    while x < 0.9 * w:
        wide, tall = kit.rng.uniform(0.05, 0.13) * w, kit.rng.uniform(0.12, 0.36) * h
        shade = lighter(ink, int(kit.rng.integers(10, 90)))
        page.draw.rectangle((x, h * 0.48 - tall, min(x + wide, w * 0.94), h * 0.48), fill=(*shade, 255))
        for pane in np.arange(h * 0.49 - tall, h * 0.45, h * 0.03):
            page.draw.rectangle((x + wide * 0.3, pane, x + wide * 0.5, pane + h * 0.012), fill=(*YELLOW, 200))
        x += wide * 1.05
    page.draw.ellipse((w * 0.7, h * 0.06, w * 0.84, h * 0.06 + w * 0.14), fill=(*lighter(ink, 120), 255))


def _circles(kit: Kit, page: Sheet, ink: Color) -> None:
    w, h = page.image.size
    for _ in range(16):
        x, y, radius = (
            kit.rng.uniform(0.1, 0.9) * w,
            kit.rng.uniform(0.08, 0.42) * h,
            kit.rng.uniform(0.03, 0.14) * w,
        )
        shade = lighter(ink, int(kit.rng.integers(-30, 110)))
        layer = Sheet(int(2 * radius) + 1, int(2 * radius) + 1)
        layer.draw.ellipse((0, 0, 2 * radius, 2 * radius), fill=(*shade, int(kit.rng.integers(90, 230))))
        page.overlay(layer.image, int(x - radius), int(y - radius))


def _waves(kit: Kit, page: Sheet, ink: Color) -> None:
    w, h = page.image.size
    x = np.linspace(0, w, 90)
    for row in range(7):
        y = h * (0.14 + 0.05 * row) + np.sin(x / w * 9 + row) * h * 0.03
        shade = lighter(ink, 15 * row - 20)
        outline = [*zip(x.tolist(), y.tolist(), strict=True), (w, h * 0.49), (0, h * 0.49)]
        page.draw.polygon(outline, fill=(*shade, 255))


def tin(kit: Kit, brand: Line, lines: list[Line], label: Color, body: Color, shape: str) -> Sheet:
    """A tin, a jar or a bottle with a label, on a table."""
    stage = kit.stage(textures.discs, lighter(SAND, -60))
    w, h = kit.width, kit.height
    table = kit.panel(w, h * 0.3, textures.planks, OAK)
    stage.mount(table, [[0, h * 0.76], [w, h * 0.76], [w * 1.25, h * 1.02], [-w * 0.25, h * 1.02]])
    bw, bh = {"tin": (0.56, 0.76), "jar": (0.6, 0.66), "bottle": (0.44, 0.62)}[shape]
    bw, bh = min(w, h) * bw, h * bh
    bottom = h * 0.9
    foot = Sheet(w, h)
    foot.draw.ellipse(
        (w / 2 - bw * 0.5, bottom - bw * 0.1, w / 2 + bw * 0.8, bottom + bw * 0.07), fill=(*BLACK, 255)
    )
    stage.cast(foot.image.getchannel("A"), 0, 0, Shadow(0, 0, 22, 0.75))
    vessel = Sheet(int(bw), int(bh))
    vessel.draw.rounded_rectangle((0, 0, bw - 1, bh - 1), bw * 0.09, fill=(*body, 255))
    paper = kit.panel(bw, bh * 0.68, textures.paper, label)
    ink = brand[2]
    paper.draw.rectangle((0, bh * 0.02, bw, bh * 0.035), fill=(*ink, 255))
    paper.draw.rectangle((0, bh * 0.645, bw, bh * 0.66), fill=(*ink, 255))
    kit.line(paper, brand[0], bw / 2, bh * 0.24, brand[1], ink, bh * 0.19, bw * 0.74)
    pitch = bh * 0.36 / len(lines)
    for row, (text, look, color) in enumerate(lines):
        kit.line(paper, text, bw / 2, bh * 0.28 + pitch * (row + 0.75), look, color, pitch * 0.66, bw * 0.72)
    vessel.mount(paper, pose(bw / 2, bh * 0.56, bw, bh * 0.68))
    cylinder(vessel)
    if shape == "bottle":
        neck = kit.panel(bw, h * 0.2, textures.paper, body)
        cylinder(neck)
        top, slope = bottom - bh - h * 0.2, bottom - bh - h * 0.08
        stage.mount(neck, rectangle(w / 2 - bw * 0.15, top, w / 2 + bw * 0.15, slope + 4))
        left, right = w / 2 - bw * 0.46, w / 2 + bw * 0.46
        shoulder = [
            [w / 2 - bw * 0.15, slope],
            [w / 2 + bw * 0.15, slope],
            [right, bottom - bh + 12],
            [left, bottom - bh + 12],
        ]
        stage.mount(neck, shoulder)
        stage.mount(
            Sheet(20, 20, lighter(body, -30)),
            rectangle(w / 2 - bw * 0.17, top - 30, w / 2 + bw * 0.17, top + 40),
        )
    if shape == "jar":
        lid = kit.panel(bw * 0.9, h * 0.09, textures.metal, GREY)
        cylinder(lid)
        stage.mount(lid, pose(w / 2, bottom - bh - h * 0.035, bw * 0.9, h * 0.09))
    stage.mount(vessel, pose(w / 2, bottom - bh / 2, bw, bh), Shadow(26, 6, 20, 0.5))
    return stage


def carton(kit: Kit, front: list[Line], side: list[Line], color: Color, stripe: Color) -> Sheet:
    """A cardboard box seen from a corner: two faces with text, and the lid."""
    stage = kit.stage(textures.plaster, (168, 172, 176))
    w, h = kit.width, kit.height
    stage.mount(
        kit.panel(w, h * 0.34, textures.planks, BROWN),
        [[0, h * 0.7], [w, h * 0.7], [w * 1.3, h * 1.02], [-w * 0.3, h * 1.02]],
    )
    faces = []
    for lines, fw in ((front, w * 0.52), (side, w * 0.34)):
        face = kit.panel(fw, h * 0.6, textures.paper, color)
        face.draw.rectangle((0, h * 0.5, fw, h * 0.55), fill=(*stripe, 255))
        pitch = h * 0.44 / len(lines)
        for row, (text, look, ink) in enumerate(lines):
            kit.line(face, text, fw / 2, h * 0.03 + pitch * (row + 0.74), look, ink, pitch * 0.72, fw * 0.84)
        faces.append(face)
    shade = Sheet(*faces[1].image.size, (0, 0, 0))
    shade.image.putalpha(70)
    faces[1].overlay(shade.image)
    near, left, right = w * 0.6, w * 0.13, w * 0.89
    ground = [[left, h * 0.76], [near, h * 0.9], [right, h * 0.77]]
    stage.cast(_flat(ground, (w, h)), 0, 0, Shadow(30, 26, 34, 0.7))
    stage.mount(faces[0], [[left, h * 0.24], [near, h * 0.28], ground[1], ground[0]])
    stage.mount(faces[1], [[near, h * 0.28], [right, h * 0.245], ground[2], ground[1]])
    lid = kit.panel(600, 400, textures.paper, lighter(color, 22))
    stage.mount(lid, [[left, h * 0.24], [w * 0.44, h * 0.205], [right, h * 0.245], [near, h * 0.28]])
    return stage


def _flat(corners: list[list[float]], size: tuple[int, int]) -> Image.Image:
    """Return a mask (L) with the triangle of a box's foot filled."""
    sheet = Sheet(*size)
    sheet.draw.polygon([(x, y) for x, y in corners], fill=(255, 255, 255, 255))
    return sheet.image.getchannel("A")


def receipt(kit: Kit, shop: str, place: str, goods: list[tuple[str, str]], total: str, closing: str) -> Sheet:
    """A till receipt on a table."""
    stage = kit.stage(textures.planks, OAK)
    w = min(kit.width, kit.height) * 0.62
    step = w * 0.085
    h = step * (len(goods) + 11)
    page = kit.panel(w, h, textures.paper, (246, 245, 240))
    ink = (52, 52, 60)
    kit.line(page, shop, w / 2, step * 1.8, "typewriter", ink, step * 1.5, w * 0.86)
    kit.line(page, place, w / 2, step * 3, "mono", ink, step * 0.74, w * 0.86)
    y = step * 4.6
    for name, price in [*goods, ("TOTAL", total)]:
        if name == "TOTAL":
            page.draw.line((w * 0.07, y - step * 0.55, w * 0.93, y - step * 0.55), (*ink, 255), 3)
            y += step * 0.5
        kit.line(
            page, name, w * 0.07, y, "mono", ink, step * (0.8 if name != "TOTAL" else 1.1), w * 0.6, align=0
        )
        kit.line(
            page, price, w * 0.93, y, "mono", ink, step * (0.8 if name != "TOTAL" else 1.1), w * 0.3, align=1
        )
        y += step
    bars(kit, page, w * 0.15, y + step * 0.3, w * 0.7, step * 1.5)
    kit.line(page, closing, w / 2, h - step * 0.9, "mono", ink, step * 0.8, w * 0.86)
    scale = min(kit.width * 0.8 / w, kit.height * 0.92 / h)
    quad = pose(
        kit.width / 2,
        kit.height / 2,
        w * scale,
        h * scale,
        kit.rng.uniform(-10, 10),
        14,
        kit.rng.uniform(-12, 12),
    )
    stage.mount(page, quad, Shadow(12, 14, 14, 0.5))
    return stage


def ticket(
    kit: Kit, heading: str, fields: list[tuple[str, str]], code: str, color: Color, table: Color
) -> Sheet:
    """A ticket with small captions, big values and a bar code."""
    stage = kit.stage(textures.planks if table == OAK else textures.plaster, table)
    w, h = kit.width * 0.84, kit.width * 0.4
    page = kit.panel(w, h, textures.paper, CREAM)
    page.draw.rectangle((0, 0, w, h * 0.26), fill=(*color, 255))
    kit.line(page, heading, w * 0.04, h * 0.19, "block", WHITE, h * 0.17, w * 0.6, align=0)
    kit.line(page, code, w * 0.96, h * 0.18, "mono", WHITE, h * 0.1, w * 0.26, align=1)
    columns = max(1, (len(fields) + 1) // 2)
    for index, (caption, value) in enumerate(fields):
        x, y = w * (0.04 + 0.7 / columns * (index % columns)), h * (0.4 + 0.3 * (index // columns))
        kit.line(page, caption, x, y, "sans", GREY, h * 0.06, w * 0.64 / columns, align=0)
        kit.line(page, value, x, y + h * 0.15, "condensed", BLACK, h * 0.15, w * 0.64 / columns, align=0)
    page.draw.line((w * 0.76, h * 0.26, w * 0.76, h), (160, 150, 130, 255), 4)
    bars(kit, page, w * 0.8, h * 0.36, w * 0.16, h * 0.5)
    stub = kit.panel(w, h, textures.paper, lighter(CREAM, -12))
    stub.draw.rectangle((0, 0, w, h * 0.26), fill=(*lighter(color, 20), 255))
    x, y = kit.width * 0.5, kit.height * 0.5
    roll = float(kit.rng.uniform(-14, 14))
    stage.mount(stub, pose(x + 30, y + 60, w, h, roll=roll + 7), SOFT)
    stage.mount(page, pose(x, y, w, h, kit.rng.uniform(-12, 12), 10, roll), SOFT)
    return stage


def bookshelf(kit: Kit, rows: list[list[Line]]) -> Sheet:
    """Shelves of books; titles run down the spines. The third part of a title is the spine's colour."""
    stage = kit.stage(textures.planks, (70, 48, 34))
    shelf = kit.height * 0.9 / len(rows)
    for row, books in enumerate(rows):
        foot = kit.height * 0.03 + shelf * (row + 0.93)
        widths = kit.rng.uniform(0.8, 1.3, len(books))
        widths *= kit.width * 0.86 / widths.sum()
        x = kit.width * 0.07
        for (title, look, color), wide in zip(books, widths, strict=True):
            tall = shelf * kit.rng.uniform(0.74, 0.88)
            spine = kit.panel(tall, wide, textures.paper, color)
            ink = CREAM if sum(color) < 380 else BLACK
            for edge in (0.05, 0.93):
                spine.draw.rectangle(
                    (tall * edge, 0, tall * (edge + 0.018), wide), fill=(*lighter(ink, -40), 255)
                )
            kit.line(spine, title, tall * 0.5, wide * 0.66, look, ink, wide * 0.5, tall * 0.8)
            lean = float(kit.rng.uniform(-1.4, 1.4))
            right, top = x + wide - 4, foot - tall
            quad = [[right + lean * 6, top], [right, foot], [x, foot], [x + lean * 6, top]]
            stage.mount(spine, quad, Shadow(9, -4, 8, 0.6))
            x += wide
        stage.draw.rectangle((0, foot, kit.width, foot + shelf * 0.07), fill=(*lighter(OAK, 10), 255))
        stage.draw.rectangle(
            (0, foot + shelf * 0.055, kit.width, foot + shelf * 0.07), fill=(60, 40, 28, 255)
        )
    turned = Sheet(kit.width, kit.height, (40, 30, 24))
    turned.mount(
        stage,
        pose(kit.width / 2, kit.height / 2, kit.width * 1.04, kit.height * 1.04, kit.rng.uniform(-9, 9)),
    )
    return turned


def market(kit: Kit, goods: list[tuple[str, str, Color]]) -> Sheet:
    """Crates of fruit, each with a price tag: name, price, colour of the fruit."""
    stage = kit.stage(textures.planks, (82, 62, 46))
    w = kit.width / len(goods)
    for index, (name, price, color) in enumerate(goods):
        crate = Sheet(int(w * 0.96), int(kit.height * 0.9), (54, 38, 26))
        cw, ch = crate.image.size
        radius = cw * 0.085
        for y in np.arange(ch * 0.04, ch * 0.96, radius * 0.95):
            for x in np.arange(radius, cw - radius / 2, radius * 1.65):
                at = np.array([x, y]) + kit.rng.uniform(-0.3, 0.3, 2) * radius
                for size, levels in ((1, -50), (0.9, 0), (0.55, 22), (0.22, 60)):
                    shift = (1 - size) * radius * 0.45
                    box = (*(at - size * radius - shift), *(at + size * radius - shift))
                    crate.draw.ellipse(
                        box, fill=(*lighter(color, levels + int(kit.rng.integers(-8, 8))), 255)
                    )
        crate.draw.rectangle((0, 0, cw - 1, ch - 1), outline=(*lighter(OAK, -10), 255), width=26)
        tag = kit.panel(
            cw * 0.84, cw * 0.56, textures.paper, kit.rng.choice([[250, 232, 90], [250, 250, 244]])
        )
        kit.line(tag, name, cw * 0.42, cw * 0.23, "marker", (40, 40, 44), cw * 0.19, cw * 0.76)
        kit.line(tag, price, cw * 0.42, cw * 0.49, "block", (190, 26, 32), cw * 0.22, cw * 0.76)
        crate.mount(
            tag,
            pose(cw / 2, ch * kit.rng.uniform(0.36, 0.6), cw * 0.84, cw * 0.56, roll=kit.rng.uniform(-9, 9)),
            SOFT,
        )
        stage.mount(
            crate,
            pose(w * (index + 0.5), kit.height / 2, w * 0.96, kit.height * 0.9, pitch=16),
            Shadow(8, 16, 12, 0.6),
        )
    return stage
