"""What a parcel costs."""

BANDS = ((1.0, 4.90), (5.0, 6.90), (20.0, 12.50))
"""Heaviest weight of a band in kilograms, and its price in euros."""


def price(weight_kg: float) -> float:
    """Return the price in euros of a parcel that weighs `weight_kg`.

    Raises:
        ValueError: it weighs nothing, or more than the last band allows.
    """
    if weight_kg <= 0:
        raise ValueError("a parcel weighs more than nothing")
    for limit_kg, euros in BANDS:
        if weight_kg < limit_kg:
            return euros
    raise ValueError(f"{weight_kg} kg is too heavy, the limit is {BANDS[-1][0]} kg")
