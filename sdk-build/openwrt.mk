# The OpenWrt recipe. Included by the top Makefile when TOPDIR is set, and by
# sdk-build/netpolicy/Makefile, which is the one the build system's scanner finds.
# File list: sdk-build/manifest. Texts and dependencies: sdk-build/package.mk.

NETPOLICY_DIR:=$(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)

include $(TOPDIR)/rules.mk
include $(NETPOLICY_DIR)/sdk-build/package.mk

PKG_NAME:=netpolicy
PKG_VERSION:=$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' $(NETPOLICY_DIR)/netpolicy/__init__.py)
PKG_RELEASE:=$(NETPOLICY_RELEASE)
PKG_MAINTAINER:=NetPolicy contributors
PKG_LICENSE:=$(NETPOLICY_LICENSE)
PKG_LICENSE_FILES:=LICENSE

include $(INCLUDE_DIR)/package.mk

# Nothing here is for the router's processor: the only ELF files are BPF objects, which its strip does not know.
RSTRIP:=:
STRIP:=:

define Package/netpolicy
  SECTION:=$(NETPOLICY_SECTION)
  CATEGORY:=Network
  SUBMENU:=Routing and Redirection
  TITLE:=$(NETPOLICY_TITLE)
  DEPENDS:=$(addprefix +,$(NETPOLICY_DEPENDS))
  PKGARCH:=all
endef

define Package/netpolicy/description
  $(NETPOLICY_DESCRIPTION)
endef

define Package/netpolicy/conffiles
/etc/config/netpolicy
endef

# Nothing to unpack and nothing to compile: the router's own Python compiles at installation,
# so one package fits every Python of the feeds.
define Build/Prepare
endef

define Build/Compile
endef

define Package/netpolicy/install
	python3 $(NETPOLICY_DIR)/sdk-build/ipk.py stage netpolicy $(1)
endef

define Package/netpolicy/postinst
$(file <$(NETPOLICY_DIR)/sdk-build/scripts/netpolicy.postinst)
endef

define Package/netpolicy/prerm
$(file <$(NETPOLICY_DIR)/sdk-build/scripts/netpolicy.prerm)
endef

define Package/netpolicy/postrm
$(file <$(NETPOLICY_DIR)/sdk-build/scripts/netpolicy.postrm)
endef

# No files of its own: brings the libraries of the full profile.
define Package/netpolicy-full
  SECTION:=$(NETPOLICY_SECTION)
  CATEGORY:=Network
  SUBMENU:=Routing and Redirection
  TITLE:=$(NETPOLICY_FULL_TITLE)
  DEPENDS:=+netpolicy $(addprefix +,$(NETPOLICY_FULL_DEPENDS))
  PKGARCH:=all
endef

define Package/netpolicy-full/install
	true
endef

$(eval $(call BuildPackage,netpolicy))
$(eval $(call BuildPackage,netpolicy-full))
