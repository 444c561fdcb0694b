"""The KV pool of one rank and the prefix cache in it: system prompts, and the conversations that begin with them."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from local.simulator.traffic import Request


@dataclass(slots=True)
class Node:
    """Tokens that stay in the pool after the request that computed them; not to be evicted while `users` need them."""

    tokens: int
    users: int = 0


class PrefixCache:
    """`used + evictable + available == capacity`, in tokens, whatever happens.

    `held` are the tokens that running requests have computed and not yet handed to the cache.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self.evicted_total = 0
        self._nodes: OrderedDict[tuple[int, int | None], Node] = OrderedDict()  # the least recently used first
        self._conversations: Counter[int] = Counter()
        self._in_use: dict[int, list[Node]] = {}
        self._cached = self._locked = 0

    @property
    def used(self) -> int:
        return self.held + self._locked

    @property
    def evictable(self) -> int:
        return self._cached - self._locked

    @property
    def available(self) -> int:
        return self.capacity - self.held - self._cached

    def lock(self, request: Request) -> int:
        """How many of the request's prompt tokens are cached; they stay until `unlock`."""
        nodes = []
        for key in self._path(request):
            if node := self._nodes.get(key):
                self._nodes.move_to_end(key)
                if not node.users:
                    self._locked += node.tokens
                node.users += 1
                nodes.append(node)
        self._in_use[request.number] = nodes
        # The last prompt token is always computed: it yields the first new one.
        return min(sum(node.tokens for node in nodes), request.prompt_tokens - 1)

    def unlock(self, request: Request) -> None:
        for node in self._in_use.pop(request.number):
            node.users -= 1
            if not node.users:
                self._locked -= node.tokens

    def keep(self, request: Request, tokens: int) -> None:
        """Hand the `tokens` of a request that ended over to the cache, its cached prefix included."""
        self.unlock(request)
        system_prompt, conversation = self._path(request)
        self._grow(system_prompt, request.system_prompt_tokens)
        self._grow(conversation, tokens - request.system_prompt_tokens)

    def make_room(self, tokens: int) -> int:
        """Evict the least recently used until so many are available; how many were evicted."""
        evicted = 0
        while self.available < tokens:
            key = next(key for key, node in self._nodes.items() if not node.users and not self._holds_up_others(key))
            node = self._nodes.pop(key)
            if key[1] is not None:
                self._conversations[key[0]] -= 1
            self._cached -= node.tokens
            evicted += node.tokens
        self.evicted_total += evicted
        return evicted

    def _path(self, request: Request) -> tuple[tuple[int, int | None], tuple[int, int | None]]:
        return (request.application, None), (request.application, request.session)

    def _holds_up_others(self, key: tuple[int, int | None]) -> bool:
        return key[1] is None and self._conversations[key[0]] > 0

    def _grow(self, key: tuple[int, int | None], tokens: int) -> None:
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(0)
            if key[1] is not None:
                self._conversations[key[0]] += 1
        self._nodes.move_to_end(key)
        more = max(tokens - node.tokens, 0)
        node.tokens += more
        self._cached += more
        if node.users:
            self._locked += more
