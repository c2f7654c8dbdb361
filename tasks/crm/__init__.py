"""The embedded CRM: customers, deals, interactions, products and orders in SQLite or PostgreSQL.

`desk.serve` is the way in. Every write leaves an audit entry and the answer to its tool_call_id in the same
transaction, so that a repeated call changes nothing and is answered as the first one was.
"""
