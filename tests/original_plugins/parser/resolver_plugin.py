"""Resolvers from the configuration, for every address."""

from base_plugin import ConfigField, ParserPlugin


class Resolver(ParserPlugin):
    name = "resolver"
    version = "1.0.0"
    description = "configured resolvers"

    def get_config_schema(self):
        return [
            ConfigField(
                name="resolvers",
                label="Resolvers",
                type="list",
                default=[{"name": "A", "url": "http://a/?u="}],
                fields=[ConfigField(name="name", type="text"), ConfigField(name="url", type="text")],
            )
        ]

    async def parse_url(self, url: str):
        return [
            {"name": one["name"], "url": one["url"] + url, "resolver": self.name}
            for one in self.config.get("resolvers", [])
        ]
