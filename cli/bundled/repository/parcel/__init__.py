"""Prices of parcels."""

from .pricing import BANDS, price

__all__ = ["BANDS", "price"]
