"""Stocks, day by day: whether one rises or falls on the next day, as far as its prices tell."""

import io
from collections.abc import Sequence

import numpy as np
import torch

from training.config import DataConfig
from training.data.arrays import ArrayOrigin, Named, read_arrays
from training.data.batches import DataFacts
from training.data.origin import Fetch
from training.data.signals import Items, LabelledSignals, Signals, Split, counted, scaling_of

_ACL18 = (
    "https://raw.githubusercontent.com/fulifeng/Adv-ALSTM/"
    "3d6c3dc921f44832dd48734d79dbf60cd832cf5b/data/stocknet-dataset/price/"
)
_LISTED = (
    "AAPL ABB ABBV AEP AGFS AMGN AMZN BA BABA BAC BBL BCH BHP BP BRK-A BSAC BUD C CAT CELG CHL "
    "CHTR CMCSA CODI CSCO CVX D DHR DIS DUK EXC FB GD GE GOOG HD HON HRG HSBC IEP INTC JNJ JPM "
    "KO LMT MA MCD MDT MMM MO MRK MSFT NEE NGG NVS ORCL PCG PCLN PEP PFE PG PICO PM PPL PTR "
    "RDS-B REX SLB SNP SNY SO SPLP SRE T TM TOT TSM UL UN UNH UPS UTX V VZ WFC WMT XOM"
)
_TICKERS = _LISTED.split()
_RATIOS = (
    "open",
    "high",
    "low",
    "close",
    "adjusted_close",
    "mean_5",
    "mean_10",
    "mean_15",
    "mean_20",
    "mean_25",
    "mean_30",
)
"""Percent: open, high and low against close; both closes against the day before; the means of so
many days against adjusted close."""
_NO_NUMBER = -123321.0
_MISSING_LABEL = -9
_DAYS = 10
_VALIDATION, _TEST, _END = "2015-08-03", "2015-10-01", "2016-01-01"
_TRAIN = "2014-01-02"


def convert_acl18(fetch: Fetch) -> Named:
    """A file for each stock, a row for each trading day, and the days' own file."""
    tables = [parse_stock(fetch(f"{_ACL18}ourpped/{ticker}.csv").decode()) for ticker in _TICKERS]
    table = np.stack(tables)  # [stocks, days, ratios, label and adjusted close]
    missing = table == _NO_NUMBER
    values = np.where(missing, np.nan, table).astype(np.float32)
    labels = np.where(missing[..., -2], _MISSING_LABEL, table[..., -2])
    dates = fetch(f"{_ACL18}trading_dates.csv").decode().split()
    return {
        "features": values[..., :-2],
        "label": labels.astype(np.int8),
        "adj_close": values[..., -1],
        "dates": np.array(dates),
        "tickers": np.array(_TICKERS),
    }


def parse_stock(text: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


ACL18 = ArrayOrigin(
    path="finance/acl18_stocks.npz",
    url=_ACL18,
    sha256="552dc2fbe4ed34ae10cf6cf0b3a8eb4cef1059cf0a59788a77e9594a89922f6c",
    convert=convert_acl18,
)


def acl18(config: DataConfig, seed: int) -> LabelledSignals:
    """Xu and Cohen 2018, with the price features of Feng et al. 2019."""
    facts = DataFacts(
        title="ACL18: 87 US stocks, whether the next day's close is at least 0.55 % up or 0.5 % "
        "down",
        source=_ACL18,
        licence="not stated; StockNet: MIT",
        splits=(),
        note="The published split by date. Days in between, which move less, are left out.",
    )
    arrays = read_arrays(ACL18)
    return movements(arrays, facts=facts, config=config, seed=seed)


def movements(arrays: Named, *, facts: DataFacts, config: DataConfig, seed: int) -> LabelledSignals:
    """The days before each labelled one, of all stocks, in three spans of time."""
    spans = ((_TRAIN, _VALIDATION), (_VALIDATION, _TEST), (_TEST, _END))
    split = Split(*(windows(arrays, begin, end) for begin, end in spans))
    return LabelledSignals(
        facts=counted(facts, split, "days of a stock"),
        signals=Signals(_RATIOS, ("%",) * len(_RATIOS), scaling_of(split.learned)),
        split=split,
        config=config,
        seed=seed,
        augment=None,
        labels=("falls", "rises"),
    )


def windows(arrays: Named, begin: str, end: str) -> Items:
    """Of labels from `begin` up to before `end`: the ten days before, where all are known."""
    features, labels, dates = arrays["features"], arrays["label"], arrays["dates"]
    days = [day for day in range(_DAYS, len(dates)) if begin <= str(dates[day]) < end]
    rows, targets, groups = list[torch.Tensor](), list[torch.Tensor](), list[int]()
    for stock in range(len(features)):
        for day in _moved(labels[stock], days):
            before = features[stock, day - _DAYS : day]
            if np.isfinite(before).all():
                rows.append(torch.tensor(before))
                targets.append(torch.tensor(int(labels[stock, day] > 0)))
                groups.append(stock)
    return Items(rows, targets, groups)


def _moved(labels: np.ndarray[tuple[int], np.dtype[np.int8]], days: Sequence[int]) -> list[int]:
    return [day for day in days if abs(int(labels[day])) == 1]
