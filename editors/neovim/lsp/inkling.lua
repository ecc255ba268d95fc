-- For `vim.lsp.enable("inkling")`, from Neovim 0.11 on.
return require("inkling.client").config()
