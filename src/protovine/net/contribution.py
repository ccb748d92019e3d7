"""What was forgotten of a member and what remains, in words."""

from __future__ import annotations

from protovine.exchange import Unlearned


def gone(found: Unlearned) -> str:
    """What was there and is gone.

    Examples
    --------
    >>> from protovine.learn import Contribution
    >>> gone(Unlearned(3, Contribution(dropped=12)))
    '3 received items that waited, 12 prototypes'
    >>> gone(Unlearned(0, Contribution()))
    'nothing was there'
    """
    parts = [counted(found.waiting, "received item") + " that waited"] if found.waiting else []
    if found.learnt is not None:
        parts += [counted(found.learnt.dropped, "prototype")] if found.learnt.dropped else []
        if found.learnt.reduced:
            parts.append(f"its part of {counted(found.learnt.reduced, 'prototype')} of local samples")
    return ", ".join(parts) or ("nothing was there" if found.learnt is not None else "nothing that is known to be its")


def remaining(found: Unlearned) -> list[str]:
    """What cannot be taken back, a sentence each.

    Examples
    --------
    >>> from protovine.learn import Contribution
    >>> remaining(Unlearned(0, Contribution(items=40)))
    ['at most 40 items went into sums (moments, linear weights, losses of experts) and into prototypes of others']
    """
    learnt = found.learnt
    if learnt is None:
        return ["this learner does not know whose items it learnt: all that it learnt stays"]
    lines = []
    if learnt.items:
        sums = "sums (moments, linear weights, losses of experts) and into prototypes of others"
        lines.append(f"at most {counted(learnt.items, 'item')} went into {sums}")
    if learnt.reduced:
        lines.append(
            f"{counted(learnt.reduced, 'prototype')} of local samples stand where its items may have moved them"
        )
    if learnt.mixed:
        lines.append(f"{counted(learnt.mixed, 'prototype')} of newer items may stand for older ones too")
    return lines


def counted(number: int, what: str) -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
