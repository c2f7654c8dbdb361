"""Prices a request: the one function that the tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from tasks.pricing.book import PriceBook
from tasks.pricing.columns import Columns, ExactLine, on_total, per_line
from tasks.pricing.conversion import Conversion
from tasks.pricing.discounts import check_caps, check_order_amount, line_discount, order_shares
from tasks.pricing.exact import exactly
from tasks.pricing.items import PricedItem, Pricer
from tasks.pricing.money import digits_of, formatted, money, round_to
from tasks.pricing.reply import ExchangeRate, LinePrice, PriceBand, PriceReply, RoiAnswer, TaxPrice, Totals
from tasks.pricing.request import PriceRequest, RoiQuestion
from tasks.pricing.roi import PAYBACK_FORMULA, ROI_FORMULA, return_on
from tasks.pricing.taxes import rate_of

ZERO = Decimal(0)


@exactly
def price(request: PriceRequest, book: PriceBook, *, role: str, today: date) -> PriceReply:
    """Price *request* by *book* for a caller with *role*.

    Raises:
        InputFault: A product, an exchange rate or a discount cannot be; the message names the field.
        PermissionFault: The discounts are over the role's cap.
    """
    digits = digits_of(request.currency)
    pricer = Pricer(book, request.currency, request.as_of or today, request.rounding)
    items = [pricer.price(item, f"items[{place}]") for place, item in enumerate(request.items)]
    lines, cap = _discounted(request, items, book, role, digits)
    rounded = (per_line if request.round_per == "line" else on_total)(
        lines, digits, request.rounding, included=request.prices_include_tax
    )
    totals = _totals(rounded, digits, included=request.prices_include_tax)
    return PriceReply(
        currency=request.currency,
        digits=digits,
        rounding=request.rounding,
        round_per=request.round_per,
        lines=_lines(items, lines, rounded, included=request.prices_include_tax),
        taxes=_taxes(lines, rounded),
        totals=totals,
        total_text=formatted(money(totals.total, request.currency), request.locale),
        discount_cap=cap,
        exchange_rates=_rates([item.conversion for item in items]),
        roi=_roi(request.roi, totals.net, request) if request.roi else None,
    )


def _discounted(
    request: PriceRequest, items: Sequence[PricedItem], book: PriceBook, role: str, digits: int
) -> tuple[list[ExactLine], Decimal]:
    """Return the lines with what comes off each, and the role's cap.

    The order's discount is taken off the nets that the answer shows, so per line off rounded ones; the cap is
    held against exact figures, so that no rounding trips it.
    """
    parts = [item.line for item in items]
    off = [line_discount(part) for part in parts]
    nets = [part.price - own if part.allowed else ZERO for part, own in zip(parts, off, strict=True)]
    shares = order_shares(nets, request.discount_rate, request.discount_amount)
    cap = check_caps(parts, [own + share for own, share in zip(off, shares, strict=True)], role, book.caps)
    if request.round_per == "line":
        nets = [round_to(net, digits, request.rounding) for net in nets]
        shares = order_shares(nets, request.discount_rate, request.discount_amount)
    check_order_amount(nets, request.discount_rate, request.discount_amount)
    return [
        ExactLine(item.price, own, share, item.tax_class, rate_of(item.tax_class, request))
        for item, own, share in zip(items, off, shares, strict=True)
    ], cap


def _totals(rounded: Columns, digits: int, *, included: bool) -> Totals:
    base, tax = sum(rounded.bases, ZERO), sum(rounded.taxes, ZERO)
    zero = ZERO.scaleb(-digits)
    return Totals(
        list_price=sum(rounded.prices, zero),
        line_discounts=rounded.line_discounts + zero,
        order_discount=rounded.order_discount + zero,
        net=(base - tax if included else base) + zero,
        tax=tax + zero,
        total=(base if included else base + tax) + zero,
    )


def _lines(
    items: Sequence[PricedItem], lines: Sequence[ExactLine], rounded: Columns, *, included: bool
) -> list[LinePrice]:
    columns = zip(items, lines, rounded.prices, rounded.bases, rounded.taxes, strict=True)
    return [
        LinePrice(
            sku=item.sku,
            description=item.description,
            quantity=item.quantity,
            bands=[PriceBand(quantity=band.quantity, unit_price=band.unit_price) for band in item.bands],
            list_price=list_price,
            discount=list_price - base,
            net=base - tax if included else base,
            tax_class=line.tax_class,
            tax_rate=line.tax_rate,
            tax=tax,
            total=base if included else base + tax,
        )
        for item, line, list_price, base, tax in columns
    ]


def _taxes(lines: Sequence[ExactLine], rounded: Columns) -> list[TaxPrice]:
    rows: dict[str, TaxPrice] = {}
    for line, base, tax in zip(lines, rounded.bases, rounded.taxes, strict=True):
        known = rows.get(line.tax_class)
        rows[line.tax_class] = TaxPrice(
            tax_class=line.tax_class,
            rate=line.tax_rate,
            base=base + (known.base if known else ZERO),
            tax=tax + (known.tax if known else ZERO),
        )
    return list(rows.values())


def _rates(conversions: Sequence[Conversion | None]) -> list[ExchangeRate]:
    used = {conversion.path: conversion for conversion in conversions if conversion}
    return [
        ExchangeRate(
            source=path[0],
            target=path[-1],
            rate=round_to(conversion(Decimal(1)), 10, "half_even").normalize(),
            on=conversion.on,
            via=path[1] if len(path) > 2 else None,
        )
        for path, conversion in used.items()
    ]


def _roi(question: RoiQuestion, net: Decimal, request: PriceRequest) -> RoiAnswer:
    found = return_on(
        net,
        monthly_benefit=question.monthly_benefit,
        months=question.months,
        one_time_cost=question.one_time_cost,
        monthly_cost=question.monthly_cost,
    )
    digits = digits_of(request.currency)
    months = found.payback_months
    return RoiAnswer(
        months=question.months,
        benefit=round_to(found.benefit, digits, request.rounding),
        cost=round_to(found.cost, digits, request.rounding),
        roi=None if found.ratio is None else round_to(found.ratio, 4, request.rounding),
        payback_months=None if months is None else round_to(months, 1, "up"),
        formulas=[ROI_FORMULA, PAYBACK_FORMULA],
    )
