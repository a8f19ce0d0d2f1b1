"""Several detectors as one: means of background-survival probabilities, and shares of a budget.

Raw scores of different detectors mean different things; the share of the background that is at
least as anomalous means the same for all. A `Part` takes the mean of minus the logarithm of that
share over its members, in some topologies, and is given a share of the background that may pass in
total. An event is as anomalous as its best part says: minus the logarithm of the least survival
probability over its share, as many tests are combined (a weighted Bonferroni correction). So a cut
that lets 0.1 % of the background pass is one cut for each part, each with its share of the 0.1 %.

The survival functions of the model of fold k are learned from the background of the other folds,
each event scored by members that never saw it.
"""

from dataclasses import dataclass

import numpy as np

from analysis import topology
from analysis.errors import InputError
from ml.detectors.base import Detector, load_kind
from ml.detectors.survival import learn_survival, minus_log_survival
from ml.training_set import event_weight


@dataclass(frozen=True)
class Part:
    """A test, and its share of the background that may pass."""

    members: tuple[str, ...]  # names of detectors
    topologies: tuple[str, ...]  # of topology.TOPOLOGIES; others it does not see
    share: float


@dataclass(frozen=True)
class Combined:
    """Declaration of a portfolio."""

    name: str
    members: tuple  # declarations of the detectors that are combined
    parts: tuple[Part, ...]


class CombinedDetector(Detector):
    """Minus the logarithm of the least survival probability over its share."""

    kind = "combined"

    def names(self):
        """What any member needs, and the features that tell the topology."""
        needed = [name for member in self._untrained() for name in member.names()]
        return tuple(dict.fromkeys((*needed, *topology.FEATURES)))

    def _untrained(self):
        return [
            detector_class(config)(self.data, None, config, self.training, self.fold)
            for config in self.config.members
        ]

    def learn(self, background):
        """See `Detector.learn`; trains the members of all folds, which a later fold finds there."""
        if self.fold is None:
            raise InputError(
                f"detector {self.config.name} compares its members on events that they never saw: "
                "train with --folds"
            )
        numbers, scores = {}, {}
        events, _ = load_kind(self.data, "background")
        for config in self.config.members:
            ensemble = self._trained(config)
            own = ensemble.models[self.fold]
            numbers |= {f"{config.name}/{name}": values for name, values in own.numbers_.items()}
            scores[config.name] = ensemble.score(events).score.astype(float)
        where = topology.topology_of(events.columns(topology.FEATURES).astype(float))
        weight = event_weight(events.weight, self.training.weights)
        weight = np.where(events.fold(self.training.folds) == self.fold, 0.0, np.maximum(weight, 0))
        total = weight.sum()
        for member, values in scores.items():
            for number, name in enumerate(topology.TOPOLOGIES):
                rows = (where == number) & (weight > 0)
                learned = learn_survival(values[rows], weight[rows])
                numbers |= {f"{member}@{name}.{key}": array for key, array in learned.items()}
        for number, part in enumerate(self.config.parts):
            seen = self._seen(part, where) & (weight > 0)
            values = self._mean(part, scores, where, numbers)
            learned = learn_survival(values[seen], weight[seen])
            numbers |= {f"part_{number}.{key}": array for key, array in learned.items()}
            # Survival is that of the part's topologies; what they are of the whole comes on top.
            share = weight[seen].sum() / total
            numbers[f"part_{number}.offset"] = np.array(
                np.log(part.share) - np.log(max(share, 1.0 / len(events)))
            )
        return numbers

    def _trained(self, config):
        """The Ensemble of a member, kept beside this model until those of all folds are trained."""
        from ml.ensemble import Ensemble, train

        path = self.path.parent / "members" / config.name
        kept = [
            detector_class(config)(self.data, path / f"fold_{k}", config, self.training, k).resume()
            for k in range(self.training.folds)
        ]
        if all(kept):
            return Ensemble(path, tuple(kept))
        return train(self.data, path, config, self.training, True, self._progress)

    def _seen(self, part, where):
        """(events,) whether the event is of a topology of the part."""
        return np.isin(where, [topology.TOPOLOGIES.index(name) for name in part.topologies])

    def _mean(self, part, scores, where, numbers):
        """(events,) mean over the members of minus the log of survival in the topology."""
        mean = np.zeros(len(where))
        for member in part.members:
            for number, name in enumerate(topology.TOPOLOGIES):
                rows = where == number
                values = scores[member][rows]
                mean[rows] += minus_log_survival(values, numbers, f"{member}@{name}.")
        return mean / len(part.members)

    def _parts(self, x):
        """Scores of the members, topologies, and (parts, events) what each part says."""
        names = self.names()
        scores = {}
        for member in self.members_:
            columns = [names.index(name) for name in member.names()]
            # As the members' own scores, of 32 bits, on which survival was learned
            scores[member.config.name] = (
                member.evaluate(x[:, columns]).astype(np.float32).astype(float)
            )
        where = topology.topology_of(x[:, [names.index(name) for name in topology.FEATURES]])
        said = np.full((len(self.config.parts), len(x)), -np.inf)
        for number, part in enumerate(self.config.parts):
            seen = self._seen(part, where)
            values = self._mean(part, scores, where, self.numbers_)
            said[number, seen] = (
                minus_log_survival(values[seen], self.numbers_, f"part_{number}.")
                + self.numbers_[f"part_{number}.offset"]
            )
        return scores, where, said

    def evaluate(self, x):
        """See `Detector.evaluate`; an event that no part sees is the least anomalous."""
        said = self._parts(x)[2].max(axis=0, initial=-np.inf)
        return np.where(np.isfinite(said), said, -50.0)

    def opinions(self, events):
        """What each member and each part says: {name: (events,)}; parts that do not see it NaN."""
        scores, where, said = self._parts(self.columns(events))
        found = {}
        for member in scores:
            part_like = Part((member,), topology.TOPOLOGIES, 1.0)
            found[member] = self._mean(part_like, scores, where, self.numbers_)
        for number, values in enumerate(said):
            found[f"part {number + 1}"] = np.where(np.isfinite(values), values, np.nan)
        return found

    def contributions(self, x):
        """Those of the members that the best part listens to, each scaled to what it adds."""
        names = self.names()
        scores, where, said = self._parts(x)
        best = said.argmax(axis=0)
        result = np.zeros(x.shape)
        for member in self.members_:
            columns = [names.index(name) for name in member.names()]
            listened = [
                number
                for number, part in enumerate(self.config.parts)
                if member.config.name in part.members
            ]
            rows = np.isin(best, listened)
            if not rows.any():
                continue
            parts = member.contributions(x[np.ix_(rows, columns)])
            size = np.abs(parts).sum(axis=1, keepdims=True)
            opinion = self._mean(
                Part((member.config.name,), topology.TOPOLOGIES, 1.0), scores, where, self.numbers_
            )[rows]
            parts = np.divide(parts, size, out=np.zeros_like(parts), where=size > 0)
            result[np.ix_(rows, columns)] += parts * opinion[:, None]
        return result

    def fit(self, data=None, progress=False):
        """See `Detector.fit`."""
        super().fit(data, progress)
        return self.adopt(self.numbers_)

    def adopt(self, numbers):
        """See `Detector.adopt`."""
        super().adopt(numbers)
        self.members_ = self._untrained()
        for member in self.members_:
            prefix = f"{member.config.name}/"
            member.adopt(
                {n.removeprefix(prefix): v for n, v in numbers.items() if n.startswith(prefix)}
            )
        for number in range(len(self.config.parts)):
            minus_log_survival(np.zeros(1), numbers, f"part_{number}.")
        return self


def detector_class(config):
    """The class that a declaration is for."""
    from ml.detectors.declared import detector_for

    return detector_for(config)
