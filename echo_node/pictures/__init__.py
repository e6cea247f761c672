"""Pictures for people: clips with their masks or walls, views and curves; as tiles, and frame by frame."""

from echo_node.pictures.cine import Cine, Picture
from echo_node.pictures.marks import COLOURS, curve_of, headline
from echo_node.pictures.overlay import Overlay, plan_overlay
from echo_node.pictures.tiles import TILE_HEIGHT, TILE_WIDTH, clip_tile, contact_sheet, drawn_frame, png

__all__ = [
    "COLOURS",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Cine",
    "Overlay",
    "Picture",
    "clip_tile",
    "contact_sheet",
    "curve_of",
    "drawn_frame",
    "headline",
    "plan_overlay",
    "png",
]
