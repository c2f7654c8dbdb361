"""What a list of items costs: exact money, tiers, discounts, taxes, conversion, return on investment.

The package computes and does nothing else; `catalogue` alone reads files. `quote.price` is the way in.
"""
