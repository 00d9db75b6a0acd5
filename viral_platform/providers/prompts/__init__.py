"""What language models are told: versioned instructions, and the data message beside them.

Instructions are ours and hold no word of a creator; what creators wrote goes into the data message
alone, as JSON, without invisible characters. Who is asked does not belong here.
"""

from viral_platform.providers.prompts.data import clean_text, labelled_data
from viral_platform.providers.prompts.instructions import Prompt, load_prompt, remark_on

__all__ = ["Prompt", "clean_text", "labelled_data", "load_prompt", "remark_on"]
