"""Tests of the price bands."""

import unittest

from parcel import price


class PriceTest(unittest.TestCase):
    """One test a promise of the README."""

    def test_light_parcel_costs_the_first_price(self) -> None:
        self.assertEqual(price(0.4), 4.90)

    def test_limit_of_a_band_belongs_to_it(self) -> None:
        self.assertEqual(price(5.0), 6.90)

    def test_too_heavy_parcel_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            price(20.5)


if __name__ == "__main__":
    unittest.main()
