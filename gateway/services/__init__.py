"""The asyncio shell: takes facts in, keeps the pace, hands limits out."""
