"""The commands by what they are about; each module has an `app` that `domain_embed.cli` joins to one."""
