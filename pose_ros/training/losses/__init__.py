"""How far a network's answer lies from its targets."""
