"""Floor 4: starts, feeds, watches and ends worker groups, and holds the engines that run inside them."""
