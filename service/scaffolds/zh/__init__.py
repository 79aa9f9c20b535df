"""The scaffolds in Chinese: the code of the English ones, told to readers of Chinese."""
