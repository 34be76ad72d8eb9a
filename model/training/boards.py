"""Painters of the sample gallery: boards, menus, notices and warnings.

Each takes a Kit and the texts and colours of one scene, and returns the painted picture with its words.
"""

from PIL import ImageFilter

from model.training import textures
from model.training.lettering import Color, Shadow, Sheet
from model.training.scenery import (
    BLACK,
    BRICK,
    BROWN,
    CREAM,
    NIGHT,
    OAK,
    SOFT,
    WHITE,
    YELLOW,
    Kit,
    Line,
    lighter,
    pose,
)


def warning(kit: Kit, heading: str, lines: list[str], plate: Color, ink: Color, wall: str) -> Sheet:
    """A warning sign: a triangle, a bar with the heading, lines below."""
    surface, color = {
        "fence": (textures.planks, (132, 116, 98)),
        "steel": (textures.metal, (142, 148, 152)),
        "brick": (textures.bricks, BRICK),
    }[wall]
    stage = kit.stage(surface, color)
    w, h = min(kit.width, kit.height) * 0.74, min(kit.width, kit.height) * 0.86
    sign = kit.panel(w, h, textures.paper, plate)
    sign.draw.rounded_rectangle((10, 10, w - 10, h - 10), 30, outline=(*ink, 255), width=14)
    sign.draw.polygon(
        [(w * 0.5, h * 0.07), (w * 0.7, h * 0.36), (w * 0.3, h * 0.36)],
        fill=(*YELLOW, 255),
        outline=(*BLACK, 255),
        width=16,
    )
    sign.draw.line((w * 0.5, h * 0.17, w * 0.5, h * 0.27), (*BLACK, 255), 22)
    sign.draw.ellipse((w * 0.5 - 13, h * 0.3, w * 0.5 + 13, h * 0.3 + 26), fill=(*BLACK, 255))
    sign.draw.rectangle((w * 0.05, h * 0.42, w * 0.95, h * 0.62), fill=(*ink, 255))
    kit.line(sign, heading, w / 2, h * 0.58, "heavy", plate, h * 0.17, w * 0.82)
    for row, line in enumerate(lines):
        kit.line(sign, line, w / 2, h * (0.74 + 0.12 * row), "sans", ink, h * 0.09, w * 0.84)
    x, y = kit.width * kit.rng.uniform(0.44, 0.56), kit.height * 0.5
    stage.mount(sign, pose(x, y, w, h, kit.rng.uniform(-24, 24), 0, kit.rng.uniform(-7, 7)), SOFT)
    return stage


def sandwich_board(kit: Kit, lines: list[tuple[str, str, Color]], wall: Color) -> Sheet:
    """A blackboard standing on the pavement in front of a wall."""
    w, h = kit.width, kit.height
    stage = kit.stage(textures.bricks if wall == BRICK else textures.plaster, wall)
    stage.mount(
        kit.panel(w, h * 0.3, textures.asphalt, (138, 136, 132)), pose(w / 2, h * 0.9, w * 1.2, h * 0.3)
    )
    bw, bh = min(w * 0.66, h * 0.62), h * 0.82
    slate = kit.panel(bw, bh, textures.board, (44, 48, 46))
    slate.draw.rectangle((0, 0, bw - 1, bh - 1), outline=(*lighter(BROWN, 40), 255), width=34)
    pitch = bh * 0.82 / len(lines)
    for row, (text, look, color) in enumerate(lines):
        kit.line(slate, text, bw / 2, bh * 0.08 + pitch * (row + 0.72), look, color, pitch * 0.7, bw * 0.82)
    stage.veil(
        [(w * 0.3, h * 0.92), (w * 0.9, h * 0.88), (w * 0.98, h * 0.93), (w * 0.66, h * 0.96)], BLACK, 0.45
    )
    x = w * kit.rng.uniform(0.46, 0.54)
    stage.mount(slate, pose(x, h * 0.53, bw, bh, kit.rng.uniform(-20, 20), 12), Shadow(40, 20, 26, 0.6))
    return stage


def menu(kit: Kit, title: Line, goods: list[tuple[str, str]], style: str) -> Sheet:
    """A list of dishes with prices: on card upon a table, or in chalk on a wall."""
    chalk = style == "chalk"
    stage = kit.stage(textures.tiles if chalk else textures.planks, (206, 212, 208) if chalk else OAK)
    w, h = min(kit.width * 0.84, kit.height * 0.9), kit.height * 0.86
    page = kit.panel(w, h, textures.board if chalk else textures.paper, (40, 46, 44) if chalk else CREAM)
    edge = (*(lighter(BROWN, 30) if chalk else title[2]), 255)
    inset = 0 if chalk else w * 0.03
    page.draw.rectangle((inset, inset, w - inset - 1, h - inset - 1), outline=edge, width=30 if chalk else 6)
    kit.line(page, title[0], w / 2, h * 0.19, title[1], title[2], h * 0.15, w * 0.8)
    ink, look = (WHITE, "hand") if chalk else (BLACK, "garamond")
    pitch = h * 0.68 / len(goods)
    size = min(kit.font(look, name, w * 0.56, min(pitch * 0.7, h * 0.09)).size for name, _ in goods)
    for row, (name, price) in enumerate(goods):
        y = h * 0.24 + pitch * (row + 0.75)
        kit.line(page, name, w * 0.1, y, look, ink, size, w * 0.56, align=0)
        kit.line(page, price, w * 0.9, y, look, title[2], size, w * 0.22, align=1)
    stage.mount(
        page,
        pose(
            kit.width / 2,
            kit.height / 2,
            w,
            h,
            kit.rng.uniform(-18, 18),
            0 if chalk else 14,
            kit.rng.uniform(-5, 5),
        ),
        SOFT,
    )
    return stage


def departures(kit: Kit, heading: str, rows: list[tuple[str, str, str]]) -> Sheet:
    """A board in a station hall: time, destination, platform."""
    stage = kit.stage(textures.tiles, (198, 198, 190))
    w, h = kit.width * 0.92, kit.height * 0.8
    panel = Sheet(int(w), int(h), (18, 20, 26))
    panel.draw.rectangle((0, 0, w - 1, h - 1), outline=(90, 94, 100, 255), width=18)
    panel.draw.rectangle((18, 18, w - 19, h * 0.2), fill=(28, 60, 120, 255))
    kit.line(panel, heading, w * 0.05, h * 0.155, "sans", WHITE, h * 0.12, w * 0.8, align=0)
    pitch = h * 0.74 / len(rows)
    for row, (time, place, platform) in enumerate(rows):
        y = h * 0.22 + pitch * (row + 0.72)
        panel.draw.line((30, y + pitch * 0.28, w - 30, y + pitch * 0.28), (54, 58, 66, 255), 3)
        for text, x, align, width in (
            (time, 0.04, 0, 0.15),
            (place, 0.23, 0, 0.55),
            (platform, 0.95, 1, 0.15),
        ):
            kit.line(
                panel,
                text,
                w * x,
                y,
                "mono",
                (250, 206, 70),
                min(pitch * 0.66, h * 0.1),
                w * width,
                align=align,
            )
    stage.mount(
        panel,
        pose(kit.width / 2, kit.height * 0.48, w, h, kit.rng.uniform(-22, 22), -10),
        Shadow(0, 40, 26, 0.7),
    )
    return stage


def noticeboard(kit: Kit, notes: list[list[Line]]) -> Sheet:
    """Notes of several colours pinned to cork; the colour of a note's first line tints its paper."""
    stage = kit.stage(textures.paper, (186, 142, 94))
    stage.image.paste(kit.panel(kit.width, kit.height, textures.asphalt, (184, 140, 92)).image)
    columns = 2 if kit.width < kit.height else 3
    rows = -(-len(notes) // columns)
    cell_w, cell_h = kit.width / columns, kit.height / rows
    for index, lines in enumerate(notes):
        w, h = cell_w * 0.8, cell_h * 0.78
        note = kit.panel(w, h, textures.paper, lighter(lines[0][2], 165))
        pitch = h * 0.76 / len(lines)
        for row, (text, look, ink) in enumerate(lines):
            kit.line(note, text, w / 2, h * 0.14 + pitch * (row + 0.7), look, ink, pitch * 0.72, w * 0.84)
        note.draw.ellipse(
            (w / 2 - 20, 16, w / 2 + 20, 56), fill=(200, 40, 44, 255), outline=(120, 20, 24, 255), width=5
        )
        x, y = cell_w * (index % columns + 0.5), cell_h * (index // columns + 0.5)
        stage.mount(note, pose(x, y, w, h, roll=kit.rng.uniform(-7, 7)), Shadow(10, 14, 10, 0.5))
    return stage


def lit_sign(kit: Kit, text: str, color: Color, look: str, wall: str) -> Sheet:
    """A glowing box above a passage."""
    surface, shade = {
        "tiles": (textures.tiles, (120, 126, 124)),
        "plaster": (textures.plaster, (96, 92, 88)),
        "night": (textures.discs, NIGHT),
    }[wall]
    stage = kit.stage(surface, shade)
    w, h = kit.width * 0.66, kit.height * 0.34
    box = Sheet.of(textures.gradient(int(w), int(h), lighter(color, 30), color))
    box.draw.rectangle((0, 0, w - 1, h - 1), outline=(34, 36, 38, 255), width=22)
    kit.line(box, text, w / 2, h * 0.7, look, WHITE, h * 0.58, w * 0.8)
    x, y = kit.width / 2, kit.height * 0.4
    for dx in (-0.3, 0.3):
        stage.draw.rectangle((x + dx * w - 9, 0, x + dx * w + 9, y), fill=(40, 42, 44, 255))
    halo = Sheet(kit.width, kit.height)
    halo.draw.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=(255, 255, 255, 255))
    soft = halo.image.getchannel("A").filter(ImageFilter.GaussianBlur(140))
    stage.stamp(soft.point(lambda value: value * 0.7), 0, 0, lighter(color, 50))
    stage.mount(box, pose(x, y, w, h, kit.rng.uniform(-26, 26), -14))
    return stage
