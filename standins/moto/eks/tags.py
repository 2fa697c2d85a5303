"""Tags on whatever has an ARN."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from standins.moto.eks.clusters import Clusters
from standins.moto.eks.errors import EksError
from standins.moto.eks.references import Values


class Tags(Clusters):
    """Operations on tags."""

    def _tagged(self, given: Values) -> dict[str, str]:
        arn = unquote(given["resourceArn"])
        for found, tags in self._all_tags():
            if found == arn:
                return tags
        raise EksError("NotFoundException", f"Resource with ARN {arn} does not exist")

    def _all_tags(self) -> Iterator[tuple[str, dict[str, str]]]:
        kinds = {
            "_nodeGroups": "nodegroupArn",
            "_addons": "addonArn",
            "_entries": "accessEntryArn",
            "_associations": "associationArn",
        }
        for cluster in self.clusters.values():
            yield cluster["arn"], cluster["tags"]
            for part, key in kinds.items():
                for item in cluster[part].values():
                    yield item[key], item["tags"]

    def tag_resource(self, given: Values) -> Values:
        self._tagged(given).update(given["tags"])
        return {}

    def untag_resource(self, given: Values) -> Values:
        tags = self._tagged(given)
        for key in given["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, given: Values) -> Values:
        return {"tags": dict(self._tagged(given))}
