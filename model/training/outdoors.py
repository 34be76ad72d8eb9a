"""Painters of the sample gallery: what one sees in the street.

Each takes a Kit and the texts and colours of one scene, and returns the painted picture with its words.
"""

import numpy as np
from PIL import Image, ImageFilter

from model.training import textures
from model.training.lettering import Color, Shadow, Sheet, rectangle
from model.training.scenery import (
    BLACK,
    BRICK,
    CREAM,
    GREY,
    LEAVES,
    NIGHT,
    SAND,
    SKY,
    SLATE,
    SOFT,
    WHITE,
    YELLOW,
    Kit,
    glass,
    lighter,
    pose,
)


def shop_front(
    kit: Kit,
    name: str,
    trade: str,
    note: str,
    look: str,
    wall: Color,
    fascia: Color,
    letters: Color,
    yaw: float,
) -> Sheet:
    """A shop: name over the window, trade on the glass, a note on the door, an awning, a pavement."""
    w, h = kit.width * 0.98, kit.height * 0.98
    front = Sheet(int(w), int(h))
    sign = kit.panel(w * 0.92, h * 0.19, textures.planks, fascia)
    sign.draw.rectangle((0, 0, w * 0.92 - 1, h * 0.19 - 1), outline=(*lighter(fascia, -35), 255), width=10)
    kit.raised(sign, name, w * 0.46, h * 0.14, look, letters, h * 0.14, w * 0.82)
    window = glass(kit, w * 0.56, h * 0.44, fascia)
    kit.line(window, trade, w * 0.28, h * 0.2, "script", WHITE, h * 0.11, w * 0.48)
    left, right = (0.35, 0.8) if yaw > 0 else (0.65, 0.2)
    front.mount(window, pose(w * left, h * 0.61, w * 0.56, h * 0.44), Shadow(4, 6, 8, 0.6))
    front.draw.rectangle(
        (w * (left - 0.3), h * 0.83, w * (left + 0.3), h * 0.86), fill=(*lighter(wall, 40), 255)
    )
    front.mount(
        _door(kit, note, fascia, w * 0.2, h * 0.62), pose(w * right, h * 0.68, w * 0.2, h * 0.62), SOFT
    )
    front.mount(sign, pose(w / 2, h * 0.2, w * 0.92, h * 0.19), Shadow(6, 22, 14, 0.6))
    if kit.rng.random() < 0.7:
        _awning(front, w * (left - 0.31), h * 0.3, w * 0.62, h * 0.09, fascia)
    house = kit.panel(w * 1.4, h, textures.bricks if wall == BRICK else textures.plaster, wall)
    house.mount(front, rectangle(w * 0.2, 0, w * 1.2, h))
    stage = Sheet(kit.width, kit.height, GREY)
    stage.mount(
        kit.panel(w * 1.2, h * 0.2, textures.asphalt, (146, 144, 140)),
        rectangle(-0.1 * w, h * 0.86, w * 1.1, h * 1.06),
    )
    stage.mount(house, pose(kit.width / 2, kit.height * 0.42, w * 1.4, h, yaw=yaw), Shadow(0, 26, 18, 0.6))
    return stage


def _door(kit: Kit, note: str, color: Color, width: float, height: float) -> Sheet:
    """A shop door with a note hanging in its glass."""
    door = kit.panel(width, height, textures.planks, lighter(color, -15))
    door.mount(
        glass(kit, width * 0.7, height * 0.55, color),
        pose(width / 2, height * 0.36, width * 0.7, height * 0.55),
    )
    card = kit.panel(width * 0.56, width * 0.3, textures.paper, CREAM)
    kit.line(card, note, width * 0.28, width * 0.21, "block", (150, 30, 34), width * 0.18, width * 0.5)
    door.draw.line(
        (width * 0.3, height * 0.3, width / 2, height * 0.22, width * 0.7, height * 0.3),
        (230, 230, 230, 255),
        4,
    )
    door.mount(
        card,
        pose(width / 2, height * 0.36, width * 0.56, width * 0.3, roll=kit.rng.uniform(-4, 4)),
        Shadow(4, 6, 5, 0.6),
    )
    door.draw.ellipse((width * 0.86, height * 0.6, width * 0.94, height * 0.625), fill=(214, 180, 90, 255))
    return door


def _awning(front: Sheet, x: float, y: float, width: float, height: float, color: Color) -> None:
    """A striped awning with a scalloped edge, and its shadow on the wall."""
    awning = Sheet(int(width), int(height * 1.3))
    stripes = 14
    for stripe in range(stripes):
        left, right = width * stripe / stripes, width * (stripe + 1) / stripes
        shade = (*(color if stripe % 2 else CREAM), 255)
        inner = [(width * 0.03 + (value / width) * width * 0.94) for value in (left, right)]
        awning.draw.polygon([(inner[0], 0), (inner[1], 0), (right, height), (left, height)], fill=shade)
        awning.draw.pieslice((left, height * 0.75, right, height * 1.25), 0, 180, fill=shade)
    front.mount(awning, pose(x + width / 2, y + height * 0.65, width, height * 1.3), Shadow(10, 46, 18, 0.55))


def hanging_sign(
    kit: Kit, lines: list[str], look: str, wall: Color, board: Color, letters: Color, round_: bool
) -> Sheet:
    """A painted board hanging from an iron bracket on a house."""
    stage = kit.stage(textures.bricks if wall == BRICK else textures.plaster, wall)
    side = min(kit.width, kit.height) * 0.66
    sign = Sheet(int(side), int(side * (0.74 if round_ else 0.8)))
    w, h = sign.image.size
    disc = kit.panel(w, h, textures.planks, board)
    mask = Sheet(w, h)
    shape = mask.draw.ellipse if round_ else mask.draw.rectangle
    shape((4, 4, w - 4, h - 4), fill=(255, 255, 255, 255))
    disc.image.putalpha(mask.image.getchannel("A"))
    ring = disc.draw.ellipse if round_ else disc.draw.rectangle
    ring((20, 20, w - 20, h - 20), outline=(*letters, 255), width=9)
    for row, line in enumerate(lines):
        y = h * (0.5 + 0.27 * (row - (len(lines) - 1) / 2)) + h * 0.08
        kit.line(disc, line, w / 2, y, look, letters, h * 0.21, w * 0.74)
    x, y = kit.width * 0.52, kit.height * 0.55
    top = y - h * 0.62
    stage.veil(rectangle(0, top + 34, x + w * 0.58, top + 62), BLACK, 0.4)
    stage.draw.line((0, top, x + w * 0.55, top), (*BLACK, 255), 22)
    stage.draw.arc((-w * 0.5, top, w * 0.6, top + h), 270, 360, (*BLACK, 255), 16)
    for dx in (-0.3, 0.3):
        stage.draw.line((x + dx * w, top, x + dx * w, y - h * 0.3), (*BLACK, 255), 9)
    stage.mount(
        disc,
        pose(x, y, w, h, yaw=kit.rng.uniform(-22, 22), roll=kit.rng.uniform(-3, 3)),
        Shadow(60, 44, 26, 0.5),
    )
    return stage


def name_plate(
    kit: Kit, lines: list[str], look: str, wall: str, plate: Color, letters: Color, yaw: float
) -> Sheet:
    """An enamelled or brass plate screwed to a wall."""
    surface = {
        "brick": textures.bricks,
        "plaster": textures.plaster,
        "wood": textures.planks,
        "tiles": textures.tiles,
    }[wall]
    colors = {"brick": BRICK, "plaster": SAND, "wood": (112, 84, 62), "tiles": (226, 228, 222)}
    stage = kit.stage(surface, colors[wall])
    w, h = kit.width * 0.78, kit.height * (0.2 + 0.12 * len(lines))
    sign = kit.panel(w, h, textures.metal if sum(letters) < 300 else textures.paper, plate)
    sign.draw.rounded_rectangle((14, 14, w - 14, h - 14), 24, outline=(*letters, 255), width=8)
    pitch = h * 0.86 / len(lines)
    for row, line in enumerate(lines):
        size = pitch * (0.72 if row == 0 else 0.55)
        kit.line(sign, line, w / 2, h * 0.07 + pitch * (row + 0.72), look, letters, size, w * 0.86)
    for x, y in ((40, 40), (w - 40, 40), (40, h - 40), (w - 40, h - 40)):
        sign.draw.ellipse(
            (x - 11, y - 11, x + 11, y + 11), fill=(150, 150, 146, 255), outline=(70, 70, 70, 255), width=3
        )
    stage.mount(
        sign,
        pose(kit.width * 0.5, kit.height * 0.48, w, h, yaw, kit.rng.uniform(-10, 10), kit.rng.uniform(-4, 4)),
        Shadow(14, 20, 12, 0.6),
    )
    return stage


def signpost(kit: Kit, arms: list[str], look: str, plate: Color, letters: Color, backdrop: str) -> Sheet:
    """Finger-posts on a pole; a text that starts with < points left."""
    surface, color = {"sky": (textures.sky, SKY), "trees": (textures.discs, LEAVES)}[backdrop]
    stage = kit.stage(surface, color)
    pole = kit.panel(46, kit.height, textures.metal, SLATE)
    cylinder_x = kit.width * 0.5
    stage.mount(pole, pose(cylinder_x, kit.height * 0.56, 46, kit.height))
    w, h = kit.width * 0.62, kit.height * 0.6 / max(4, len(arms))
    for row, arm in enumerate(arms):
        left = arm.startswith("<")
        text = arm.lstrip("<")
        plate_sheet = Sheet(int(w), int(h))
        tip = h * 0.45
        outline = (
            [(tip, 4), (w - 4, 4), (w - 4, h - 4), (tip, h - 4), (4, h / 2)]
            if left
            else [(4, 4), (w - tip, 4), (w - 4, h / 2), (w - tip, h - 4), (4, h - 4)]
        )
        plate_sheet.draw.polygon(outline, fill=(*plate, 255), outline=(*letters, 255), width=7)
        kit.line(plate_sheet, text, w * (0.54 if left else 0.46), h * 0.71, look, letters, h * 0.62, w * 0.78)
        x = cylinder_x + w * (-0.32 if left else 0.32)
        yaw = kit.rng.uniform(8, 26) * (-1 if left else 1)
        stage.mount(
            plate_sheet, pose(x, kit.height * 0.2 + row * h * 1.18, w, h, yaw=yaw), Shadow(6, 10, 10, 0.35)
        )
    return stage


def road_sign(kit: Kit, lines: list[str], number: str, plate: Color) -> Sheet:
    """A big direction sign on two posts over a road."""
    stage = kit.stage(textures.sky, SKY)
    w, h = kit.width, kit.height
    hills = kit.panel(w, h * 0.3, textures.discs, LEAVES)
    stage.mount(hills, pose(w / 2, h * 0.83, w, h * 0.3))
    road = kit.panel(w, h * 0.3, textures.asphalt, (96, 98, 100))
    road.draw.line((w * 0.5, 0, w * 0.5, h * 0.3), (*WHITE, 255), 24)
    stage.mount(road, [[w * 0.38, h * 0.8], [w * 0.56, h * 0.8], [w * 1.1, h * 1.02], [w * -0.1, h * 1.02]])
    for x in (0.28, 0.72):
        stage.draw.rectangle((w * x - 14, h * 0.3, w * x + 14, h * 0.84), fill=(120, 124, 126, 255))
    sw, sh = w * 0.72, h * 0.5
    sign = kit.panel(sw, sh, textures.paper, plate)
    sign.draw.rounded_rectangle((10, 10, sw - 10, sh - 10), 40, outline=(*WHITE, 255), width=12)
    sign.draw.rounded_rectangle((sw * 0.06, sh * 0.1, sw * 0.26, sh * 0.3), 16, fill=(*YELLOW, 255))
    kit.line(sign, number, sw * 0.16, sh * 0.265, "heavy", BLACK, sh * 0.16, sw * 0.18)
    pitch = sh * 0.6 / len(lines)
    for row, line in enumerate(lines):
        kit.line(
            sign,
            line,
            sw * 0.3,
            sh * 0.34 + pitch * (row + 0.6) - sh * 0.04,
            "sans",
            WHITE,
            pitch * 0.82,
            sw * 0.64,
            align=0,
        )
    sign.draw.line((sw * 0.16, sh * 0.88, sw * 0.16, sh * 0.48), (*WHITE, 255), 28)
    sign.draw.polygon(
        [(sw * 0.1, sh * 0.52), (sw * 0.22, sh * 0.52), (sw * 0.16, sh * 0.36)], fill=(*WHITE, 255)
    )
    stage.mount(sign, pose(w / 2, h * 0.38, sw, sh, kit.rng.uniform(-24, 24), kit.rng.uniform(-8, 8)), SOFT)
    return stage


def bus(kit: Kit, number: str, destination: str, plate: str, color: Color) -> Sheet:
    """The front of a bus: lamps in rows show its number and where it goes."""
    stage = kit.stage(textures.discs, (150, 158, 150))
    w, h = kit.width, kit.height
    stage.mount(
        kit.panel(w, h * 0.2, textures.asphalt, (92, 94, 96)), pose(w / 2, h * 0.94, w * 1.2, h * 0.2)
    )
    bw, bh = w * 0.86, h * 0.84
    front = Sheet(int(bw), int(bh))
    front.draw.rounded_rectangle((0, 0, bw - 1, bh - 1), 90, fill=(*color, 255))
    front.draw.rounded_rectangle((bw * 0.03, bh * 0.03, bw * 0.97, bh * 0.68), 70, fill=(26, 28, 32, 255))
    pane = kit.panel(bw * 0.9, bh * 0.42, textures.sky, (60, 80, 104))
    pane.image = pane.image.filter(ImageFilter.GaussianBlur(8))
    pane.draw.line((bw * 0.45, 0, bw * 0.45, bh * 0.42), (26, 28, 32, 255), 14)
    front.mount(pane, pose(bw / 2, bh * 0.45, bw * 0.9, bh * 0.42))
    front.mount(
        _lamps(kit, f"{number} {destination}", bw * 0.86, bh * 0.17),
        pose(bw / 2, bh * 0.13, bw * 0.86, bh * 0.17),
    )
    for x in (0.12, 0.88):
        front.draw.ellipse(
            (bw * x - 74, bh * 0.76, bw * x + 74, bh * 0.76 + 148),
            fill=(245, 246, 235, 255),
            outline=(40, 40, 40, 255),
            width=12,
        )
    front.draw.rectangle((bw * 0.25, bh * 0.93, bw * 0.75, bh - 1), fill=(30, 30, 32, 255))
    badge = kit.panel(bw * 0.24, bh * 0.08, textures.paper, WHITE)
    kit.line(badge, plate, bw * 0.12, bh * 0.063, "condensed", BLACK, bh * 0.07)
    front.mount(badge, pose(bw / 2, bh * 0.84, bw * 0.24, bh * 0.08))
    stage.mount(front, pose(w / 2, h * 0.49, bw, bh, kit.rng.uniform(-16, 16)), Shadow(0, 46, 26, 0.7))
    return stage


def _lamps(kit: Kit, text: str, width: float, height: float) -> Sheet:
    """Orange lamps in rows and columns on black, spelling a text."""
    rows = 22
    small = Sheet(int(rows * width / height), rows)
    kit.line(small, text, small.image.width / 2, rows * 0.83, "condensed", (255, 170, 40), rows * 0.92)
    pitch = height / rows
    panel = Sheet(int(width), int(height), (14, 13, 12))
    lit = np.asarray(small.image.getchannel("A"))
    for row in range(rows):
        for column in range(lit.shape[1]):
            glow = 34 + int(lit[row, column]) * 220 // 255
            x, y = column * pitch, row * pitch
            panel.draw.ellipse(
                (x + 1, y + 1, x + pitch, y + pitch),
                fill=(int(glow), int(glow * 0.66), int(glow * 0.12), 255),
            )
    panel.words = [word._replace(quad=(word.quad * pitch).astype(np.float32)) for word in small.words]
    return panel


def car(kit: Kit, plate: str, region: str, color: Color, plate_color: Color) -> Sheet:
    """The back of a car with its number plate."""
    stage = kit.stage(textures.discs, LEAVES)
    w, h = kit.width, kit.height
    stage.mount(
        kit.panel(w, h * 0.3, textures.asphalt, (104, 106, 108)), pose(w / 2, h * 0.92, w * 1.2, h * 0.3)
    )
    bw, bh = w * 0.96, h * 0.86
    back = Sheet(int(bw), int(bh))
    back.draw.polygon(
        [(bw * 0.2, 0), (bw * 0.8, 0), (bw * 0.93, bh * 0.36), (bw * 0.07, bh * 0.36)],
        fill=(*lighter(color, -20), 255),
    )
    back.draw.rounded_rectangle((bw * 0.02, bh * 0.3, bw * 0.98, bh * 0.9), 80, fill=(*color, 255))
    pane = kit.panel(bw * 0.6, bh * 0.24, textures.sky, (58, 74, 92))
    back.mount(
        pane, [[bw * 0.24, bh * 0.04], [bw * 0.76, bh * 0.04], [bw * 0.87, bh * 0.29], [bw * 0.13, bh * 0.29]]
    )
    back.draw.line((bw * 0.04, bh * 0.38, bw * 0.96, bh * 0.38), (*lighter(color, 50), 255), 10)
    for left, right in ((0.04, 0.2), (0.8, 0.96)):
        back.draw.rounded_rectangle(
            (bw * left, bh * 0.42, bw * right, bh * 0.54),
            26,
            fill=(176, 22, 28, 255),
            outline=(70, 10, 12, 255),
            width=8,
        )
        back.draw.rounded_rectangle(
            (bw * left + 22, bh * 0.44, bw * right - 22, bh * 0.47), 12, fill=(240, 120, 110, 255)
        )
        back.draw.rectangle((bw * (left + 0.02), bh * 0.86, bw * (right - 0.02), bh), fill=(18, 18, 20, 255))
    back.draw.rounded_rectangle((0, bh * 0.7, bw, bh * 0.88), 50, fill=(*lighter(color, -45), 255))
    badge = kit.panel(bw * 0.46, bh * 0.15, textures.paper, plate_color)
    badge.draw.rounded_rectangle((3, 3, bw * 0.46 - 4, bh * 0.15 - 4), 14, outline=(*BLACK, 255), width=6)
    kit.line(
        badge,
        plate,
        bw * 0.23,
        bh * (0.108 if not region else 0.134),
        "condensed",
        BLACK,
        bh * (0.12 if not region else 0.1),
        bw * 0.4,
    )
    if region:
        kit.line(badge, region, bw * 0.23, bh * 0.045, "sans", (40, 60, 120), bh * 0.034)
    back.mount(badge, pose(bw / 2, bh * 0.56, bw * 0.46, bh * 0.15), Shadow(3, 6, 6, 0.6))
    stage.mount(back, pose(w / 2, h * 0.53, bw, bh, kit.rng.uniform(-18, 18)), Shadow(0, 40, 24, 0.7))
    return stage


def neon(kit: Kit, lines: list[tuple[str, str, Color]], wall: str) -> Sheet:
    """Neon tubes on a wall at night; each line has its text, look and colour."""
    surface, color = {
        "brick": (textures.bricks, (66, 40, 40)),
        "night": (textures.discs, NIGHT),
        "wood": (textures.planks, (52, 40, 34)),
    }[wall]
    stage = kit.stage(surface, color)
    pitch = kit.height * 0.76 / len(lines)
    for row, (text, look, shine) in enumerate(lines):
        y = kit.height * 0.12 + pitch * (row + 0.7)
        kit.glow(
            stage, text, kit.width / 2, y, look, shine, min(pitch * 0.7, kit.width * 0.2), kit.width * 0.8
        )
    turned = Sheet(kit.width, kit.height, (12, 10, 14))
    turned.mount(
        stage,
        pose(kit.width / 2, kit.height / 2, kit.width * 1.16, kit.height * 1.16, kit.rng.uniform(-14, 14)),
    )
    return turned


def wall_painting(kit: Kit, lines: list[tuple[str, str, Color]], wall: Color, outline: Color | None) -> Sheet:
    """Letters painted or sprayed on a wall, worn by weather."""
    surface = textures.bricks if wall == BRICK else textures.plaster
    w, h = kit.width, kit.height
    front = kit.panel(w * 1.3, h * 1.2, surface, wall)
    layer = Sheet(*front.image.size)
    pitch = h * 0.74 / len(lines)
    for row, (text, look, color) in enumerate(lines):
        y = h * 0.24 + pitch * (row + 0.72)
        kit.line(layer, text, w * 0.65, y, look, color, pitch * 0.78, w * 0.92, outline=outline)
    worn = np.clip(210 + textures.clouds(kit.rng, *layer.image.size, 60) * 60, 60, 255) / 255
    alpha = np.asarray(layer.image.getchannel("A")) * worn
    layer.image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    front.overlay(layer.image)
    front.words += layer.words
    stage = kit.stage(textures.sky, SKY)
    stage.mount(front, pose(w / 2, h * 0.5, w * 1.3, h * 1.2, kit.rng.uniform(-24, 24)))
    stage.mount(
        kit.panel(w, h * 0.14, textures.asphalt, (120, 120, 118)),
        pose(w / 2, h * 0.99, w * 1.2, h * 0.14),
        Shadow(0, -20, 14, 0.5),
    )
    return stage
