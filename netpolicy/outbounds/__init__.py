"""What a route can be, and whether it is usable now.

Never renders nft.
"""
