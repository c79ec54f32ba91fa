"""The contract with the management system, as an AsyncAPI document made from the tables the agent works with."""
